// y = w x / sqrt(mean(x^2) + eps) over rows [rows, width], and the gradient by x. A row has a warp
// or a block; what of it fits stays in registers between the sum and the product.

// Vectors of a row that each thread keeps.
#define KEPT 4

static __device__ __forceinline__ float inverseRms(float squares, int width, float eps) {
  return (float)(1.0 / sqrt((double)(squares / (float)width + eps)));
}

template <class T, int N>
static __device__ __forceinline__ float addSquares(float sum, const Piece<T, N> &x) {
  float v[N];
  x.floats(v);
#pragma unroll
  for (int e = 0; e < N; e++) {
    sum = fmaf(v[e], v[e], sum);
  }
  return sum;
}

// N of the weights. Nothing writes them, which a compiler that sees stores must be told to load ahead.
template <int N>
static __device__ __forceinline__ void loadWeights(float (&to)[N], const float *w) {
  if (N == 1) {
    to[0] = __ldg(w);
    return;
  }
#pragma unroll
  for (int e = 0; e + 4 <= N; e += 4) unpack(0.0f, load128Fixed(w + e), to + e);
}

template <class T, int N>
static __device__ __forceinline__ void normalize(T *y, const Piece<T, N> &x, const float *w,
                                                 float inverse) {
  float v[N];
  float out[N];
  x.floats(v);
  loadWeights(out, w);
#pragma unroll
  for (int e = 0; e < N; e++) {
    out[e] = rounded<T>(v[e] * inverse) * out[e];
  }
  storeFloats(y, out);
}

template <class T, int N>
static __device__ __forceinline__ void rmsNormRow(T *y, const T *x, const float *w, int width,
                                                  float eps, int lane, int lanes) {
  Piece<T, N> kept[KEPT];
  int step = lanes * N;
  float sum = 0.0f;
#pragma unroll
  for (int k = 0; k < KEPT; k++) {
    int c = lane * N + k * step;
    kept[k] = c < width ? loadPiece<T, N>(x + c) : Piece<T, N>{};
  }
#pragma unroll
  for (int k = 0; k < KEPT; k++) sum = addSquares<T, N>(sum, kept[k]);
  for (int c = lane * N + KEPT * step; c < width; c += step) {
    sum = addSquares<T, N>(sum, loadPiece<T, N>(x + c));
  }
  float inverse = inverseRms(rowSum(sum, lanes), width, eps);
#pragma unroll
  for (int k = 0; k < KEPT; k++) {
    int c = lane * N + k * step;
    if (c < width) {
      normalize<T, N>(y + c, kept[k], w + c, inverse);
    }
  }
  for (int c = lane * N + KEPT * step; c < width; c += step) {
    normalize<T, N>(y + c, loadPiece<T, N>(x + c), w + c, inverse);
  }
}

template <class T>
static __device__ __forceinline__ void rmsNormForward(T *y, const T *x, const float *w, i64 rows,
                                                      int width, i64 stride, float eps, int lanes) {
  i64 row = rowOfThread(lanes);
  if (row >= rows) {
    return;
  }
  T *to = y + row * stride;
  const T *from = x + row * width;
  int lane = laneOfThread(lanes);
  clearRoom(to, width, stride, lane, lanes);
  if (width % Vec<T>::size == 0 && stride % Vec<T>::size == 0 && isAligned16(y) && isAligned16(x) && isAligned16(w)) {
    rmsNormRow<T, Vec<T>::size>(to, from, w, width, eps, lane, lanes);
  } else {
    rmsNormRow<T, 1>(to, from, w, width, eps, lane, lanes);
  }
}

// The two sums of the gradient: squares of x, and of x with the weighted gradient.
template <class T, int N>
static __device__ __forceinline__ void addProducts(float &squares, float &products,
                                                   const Piece<T, N> &x, const Piece<T, N> &dy,
                                                   const float *w) {
  float v[N];
  float g[N];
  float scale[N];
  x.floats(v);
  dy.floats(g);
  loadWeights(scale, w);
#pragma unroll
  for (int e = 0; e < N; e++) {
    squares = fmaf(v[e], v[e], squares);
    products = fmaf(g[e] * scale[e], v[e], products);
  }
}

// dx = prior + i w dy - back x
template <class T, int N>
static __device__ __forceinline__ void writeGradient(T *dx, const Piece<T, N> &x,
                                                     const Piece<T, N> &dy, const float *w,
                                                     const Piece<T, N> &prior, float inverse,
                                                     float back) {
  float v[N];
  float g[N];
  float scale[N];
  float sum[N];
  x.floats(v);
  dy.floats(g);
  loadWeights(scale, w);
  prior.floats(sum);
#pragma unroll
  for (int e = 0; e < N; e++) {
    sum[e] += inverse * (g[e] * scale[e]) - back * v[e];
  }
  storeFloats(dx, sum);
}

template <class T, int N>
static __device__ __forceinline__ void rmsNormBackwardRow(T *dx, const T *dy, const T *x,
                                                          const float *w, const T *prior, int width,
                                                          float eps, int lane, int lanes) {
  Piece<T, N> xs[KEPT];
  Piece<T, N> dys[KEPT];
  Piece<T, N> priors[KEPT];  // zeros where there is none
  int step = lanes * N;
  float squares = 0.0f;
  float products = 0.0f;
#pragma unroll
  for (int k = 0; k < KEPT; k++) {
    int c = lane * N + k * step;
    xs[k] = c < width ? loadPiece<T, N>(x + c) : Piece<T, N>{};
    dys[k] = c < width ? loadPiece<T, N>(dy + c) : Piece<T, N>{};
    priors[k] = prior != 0 && c < width ? loadPiece<T, N>(prior + c) : Piece<T, N>{};
  }
#pragma unroll
  for (int k = 0; k < KEPT; k++) {
    int c = lane * N + k * step;
    if (c < width) addProducts<T, N>(squares, products, xs[k], dys[k], w + c);
  }
  for (int c = lane * N + KEPT * step; c < width; c += step) {
    addProducts<T, N>(squares, products, loadPiece<T, N>(x + c), loadPiece<T, N>(dy + c), w + c);
  }
  float inverse = inverseRms(rowSum(squares, lanes), width, eps);
  float back = inverse * inverse * inverse * rowSum(products, lanes) / (float)width;
#pragma unroll
  for (int k = 0; k < KEPT; k++) {
    int c = lane * N + k * step;
    if (c < width) {
      writeGradient<T, N>(dx + c, xs[k], dys[k], w + c, priors[k], inverse, back);
    }
  }
  for (int c = lane * N + KEPT * step; c < width; c += step) {
    Piece<T, N> before = prior == 0 ? Piece<T, N>{} : loadPiece<T, N>(prior + c);
    writeGradient<T, N>(dx + c, loadPiece<T, N>(x + c), loadPiece<T, N>(dy + c), w + c, before,
                        inverse, back);
  }
}

template <class T>
static __device__ __forceinline__ void rmsNormBackward(T *dx, const T *dy, i64 stride, const T *x,
                                                       const float *w, const T *prior, i64 rows,
                                                       int width, float eps, int lanes) {
  i64 row = rowOfThread(lanes);
  if (row >= rows) {
    return;
  }
  i64 at = row * width;
  const T *before = prior == 0 ? prior : prior + at;
  const T *from = dy + row * stride;
  int lane = laneOfThread(lanes);
  if (width % Vec<T>::size == 0 && stride % Vec<T>::size == 0 && isAligned16(dx) && isAligned16(dy) && isAligned16(x) &&
      isAligned16(w) && isAligned16(prior)) {
    rmsNormBackwardRow<T, Vec<T>::size>(dx + at, from, x + at, w, before, width, eps, lane,
                                        lanes);
  } else {
    rmsNormBackwardRow<T, 1>(dx + at, from, x + at, w, before, width, eps, lane, lanes);
  }
}

// 1 / sqrt(mean(x^2) + eps) of each row, float32 [rows].
template <class T, int N>
static __device__ __forceinline__ float squaresOfRow(const T *x, int width, int lane, int lanes) {
  float sum = 0.0f;
#pragma unroll 4
  for (int c = lane * N; c < width; c += lanes * N) {
    sum = addSquares<T, N>(sum, loadPiece<T, N>(x + c));
  }
  return sum;
}

template <class T>
static __device__ __forceinline__ void rmsNormInverse(float *inverse, const T *x, i64 rows,
                                                      int width, float eps, int lanes) {
  i64 row = rowOfThread(lanes);
  if (row >= rows) {
    return;
  }
  const T *from = x + row * width;
  int lane = laneOfThread(lanes);
  float sum = width % Vec<T>::size == 0 && isAligned16(x)
                  ? squaresOfRow<T, Vec<T>::size>(from, width, lane, lanes)
                  : squaresOfRow<T, 1>(from, width, lane, lanes);
  float result = inverseRms(rowSum(sum, lanes), width, eps);
  if (lane == 0) {
    inverse[row] = result;
  }
}

// The heads of a token, [queries, keys, values]: each of those of queries and keys is a row with a
// weight of its own kind, those of values are copied.
struct HeadKinds {
  int queries;
  int keys;
  const float *queryWeight;
  const float *keyWeight;

  // The weight of a row of [tokens, heads], null for a value's.
  __device__ __forceinline__ const float *weightOf(i64 row) const {
    int head = (int)(row % (queries + 2 * keys));
    if (head < queries) return queryWeight;
    return head < queries + keys ? keyWeight : 0;
  }

  __device__ __forceinline__ bool areAligned() const {
    return isAligned16(queryWeight) && isAligned16(keyWeight);
  }
};

// to = from, plus prior where there is one
template <class T, int N>
static __device__ __forceinline__ void copyRow(T *to, const T *from, const T *prior, int width,
                                               int lane, int lanes) {
  for (int c = lane * N; c < width; c += lanes * N) {
    Piece<T, N> piece = loadPiece<T, N>(from + c);
    if (prior == 0) {
      storePiece<T, N>(to + c, piece);
      continue;
    }
    float sum[N];
    float own[N];
    loadPiece<T, N>(prior + c).floats(sum);
    piece.floats(own);
#pragma unroll
    for (int e = 0; e < N; e++) sum[e] += own[e];
    storeFloats(to + c, sum);
  }
}

template <class T, int N>
static __device__ __forceinline__ void headNormRow(T *y, const T *x, const float *w, int width,
                                                   float eps, int lane, int lanes) {
  if (w == 0) {
    copyRow<T, N>(y, x, 0, width, lane, lanes);
  } else {
    rmsNormRow<T, N>(y, x, w, width, eps, lane, lanes);
  }
}

// A row has a warp: rows of one block may be of other kinds, so no sum goes beyond a warp.
template <class T>
static __device__ __forceinline__ void headNormForward(T *y, const T *x, HeadKinds kinds, i64 rows,
                                                       int width, float eps) {
  i64 row = rowOfThread(32);
  if (row >= rows) {
    return;
  }
  i64 at = row * width;
  const float *w = kinds.weightOf(row);
  if (width % Vec<T>::size == 0 && isAligned16(y) && isAligned16(x) && kinds.areAligned()) {
    headNormRow<T, Vec<T>::size>(y + at, x + at, w, width, eps, laneOfThread(32), 32);
  } else {
    headNormRow<T, 1>(y + at, x + at, w, width, eps, laneOfThread(32), 32);
  }
}

template <class T, int N>
static __device__ __forceinline__ void headNormBackwardRow(T *dx, const T *dy, const T *x,
                                                           const float *w, const T *prior,
                                                           int width, float eps, int lane) {
  if (w == 0) {
    copyRow<T, N>(dx, dy, prior, width, lane, 32);
  } else {
    rmsNormBackwardRow<T, N>(dx, dy, x, w, prior, width, eps, lane, 32);
  }
}

template <class T>
static __device__ __forceinline__ void headNormBackward(T *dx, const T *dy, const T *x,
                                                        HeadKinds kinds, const T *prior, i64 rows,
                                                        int width, float eps) {
  i64 row = rowOfThread(32);
  if (row >= rows) {
    return;
  }
  i64 at = row * width;
  const T *before = prior == 0 ? prior : prior + at;
  const float *w = kinds.weightOf(row);
  if (width % Vec<T>::size == 0 && isAligned16(dx) && isAligned16(dy) && isAligned16(x) &&
      isAligned16(prior) && kinds.areAligned()) {
    headNormBackwardRow<T, Vec<T>::size>(dx + at, dy + at, x + at, w, before, width, eps,
                                         laneOfThread(32));
  } else {
    headNormBackwardRow<T, 1>(dx + at, dy + at, x + at, w, before, width, eps, laneOfThread(32));
  }
}

#define RMS_NORM(S, T)                                                                             \
  extern "C" __global__ void rms_norm_forward_##S(T *y, const T *x, const float *w, i64 rows,      \
                                                  int width, i64 stride, float eps, int lanes) {   \
    rmsNormForward<T>(y, x, w, rows, width, stride, eps, lanes);                                   \
  }                                                                                                \
  extern "C" __global__ void rms_norm_backward_##S(T *dx, const T *dy, i64 stride, const T *x,     \
                                                   const float *w, const T *prior, i64 rows,       \
                                                   int width, float eps, int lanes) {              \
    rmsNormBackward<T>(dx, dy, stride, x, w, prior, rows, width, eps, lanes);                              \
  }                                                                                                \
  extern "C" __global__ void rms_norm_inverse_##S(float *inverse, const T *x, i64 rows, int width, \
                                                  float eps, int lanes) {                          \
    rmsNormInverse<T>(inverse, x, rows, width, eps, lanes);                                        \
  }                                                                                                \
  extern "C" __global__ void head_norm_forward_##S(T *y, const T *x, const float *queryWeight,     \
                                                   const float *keyWeight, int queries, int keys,  \
                                                   i64 rows, int width, float eps) {               \
    HeadKinds kinds = {queries, keys, queryWeight, keyWeight};                                     \
    headNormForward<T>(y, x, kinds, rows, width, eps);                                             \
  }                                                                                                \
  extern "C" __global__ void head_norm_backward_##S(                                               \
      T *dx, const T *dy, const T *x, const float *queryWeight, const float *keyWeight,            \
      const T *prior, int queries, int keys, i64 rows, int width, float eps) {                     \
    HeadKinds kinds = {queries, keys, queryWeight, keyWeight};                                     \
    headNormBackward<T>(dx, dy, x, kinds, prior, rows, width, eps);                                \
  }

KERNELS(RMS_NORM)
