// y = (w + offset) x / sqrt(mean(x^2) + eps) over rows [rows, width], and the gradient by x. A row has
// a warp or a block; what of it fits stays in registers between the sum and the product.

// Vectors of a row that each thread keeps.
#define KEPT 4

struct NormRule {
  float eps;
  float offset;  // of the weights
  int rounds;    // whether the normalised value is rounded to T before it meets the weight
};

static __device__ __forceinline__ float inverseRms(float squares, int width, NormRule rule) {
  return (float)(1.0 / sqrt((double)(squares / (float)width + rule.eps)));
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

// What N values are multiplied by. Nothing writes the weights, which a compiler that sees stores must
// be told to load ahead.
template <int N>
static __device__ __forceinline__ void loadFactors(float (&to)[N], const float *w, NormRule rule) {
  if (N == 1) {
    to[0] = __ldg(w);
  } else {
#pragma unroll
    for (int e = 0; e + 4 <= N; e += 4) unpack(0.0f, load128Fixed(w + e), to + e);
  }
  if (rule.offset == 0.0f) return;  // a weight of -0 stays one
#pragma unroll
  for (int e = 0; e < N; e++) to[e] += rule.offset;
}

template <class T, int N>
static __device__ __forceinline__ void normalize(T *y, const Piece<T, N> &x, const float *w,
                                                 NormRule rule, float inverse) {
  float v[N];
  float out[N];
  x.floats(v);
  loadFactors(out, w, rule);
#pragma unroll
  for (int e = 0; e < N; e++) {
    float normed = v[e] * inverse;
    out[e] = (rule.rounds ? rounded<T>(normed) : normed) * out[e];
  }
  storeFloats(y, out);
}

template <class T, int N>
static __device__ __forceinline__ void rmsNormRow(T *y, const T *x, const float *w, int width,
                                                  NormRule rule, int lane, int lanes) {
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
  float inverse = inverseRms(rowSum(sum, lanes), width, rule);
#pragma unroll
  for (int k = 0; k < KEPT; k++) {
    int c = lane * N + k * step;
    if (c < width) {
      normalize<T, N>(y + c, kept[k], w + c, rule, inverse);
    }
  }
  for (int c = lane * N + KEPT * step; c < width; c += step) {
    normalize<T, N>(y + c, loadPiece<T, N>(x + c), w + c, rule, inverse);
  }
}

template <class T>
static __device__ __forceinline__ void rmsNormForward(T *y, const T *x, const float *w, i64 rows,
                                                      int width, i64 stride, NormRule rule,
                                                      int lanes) {
  i64 row = rowOfThread(lanes);
  if (row >= rows) {
    return;
  }
  T *to = y + row * stride;
  const T *from = x + row * width;
  int lane = laneOfThread(lanes);
  clearRoom(to, width, stride, lane, lanes);
  if (width % Vec<T>::size == 0 && stride % Vec<T>::size == 0 && isAligned16(y) && isAligned16(x) && isAligned16(w)) {
    rmsNormRow<T, Vec<T>::size>(to, from, w, width, rule, lane, lanes);
  } else {
    rmsNormRow<T, 1>(to, from, w, width, rule, lane, lanes);
  }
}

// The two sums of the gradient: squares of x, and of x with the weighted gradient.
template <class T, int N>
static __device__ __forceinline__ void addProducts(float &squares, float &products,
                                                   const Piece<T, N> &x, const Piece<T, N> &dy,
                                                   const float *w, NormRule rule) {
  float v[N];
  float g[N];
  float scale[N];
  x.floats(v);
  dy.floats(g);
  loadFactors(scale, w, rule);
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
                                                     NormRule rule, const Piece<T, N> &prior,
                                                     float inverse, float back) {
  float v[N];
  float g[N];
  float scale[N];
  float sum[N];
  x.floats(v);
  dy.floats(g);
  loadFactors(scale, w, rule);
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
                                                          NormRule rule, int lane, int lanes) {
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
    if (c < width) addProducts<T, N>(squares, products, xs[k], dys[k], w + c, rule);
  }
  for (int c = lane * N + KEPT * step; c < width; c += step) {
    addProducts<T, N>(squares, products, loadPiece<T, N>(x + c), loadPiece<T, N>(dy + c), w + c,
                      rule);
  }
  float inverse = inverseRms(rowSum(squares, lanes), width, rule);
  float back = inverse * inverse * inverse * rowSum(products, lanes) / (float)width;
#pragma unroll
  for (int k = 0; k < KEPT; k++) {
    int c = lane * N + k * step;
    if (c < width) {
      writeGradient<T, N>(dx + c, xs[k], dys[k], w + c, rule, priors[k], inverse, back);
    }
  }
  for (int c = lane * N + KEPT * step; c < width; c += step) {
    Piece<T, N> before = prior == 0 ? Piece<T, N>{} : loadPiece<T, N>(prior + c);
    writeGradient<T, N>(dx + c, loadPiece<T, N>(x + c), loadPiece<T, N>(dy + c), w + c, rule,
                        before, inverse, back);
  }
}

template <class T>
static __device__ __forceinline__ void rmsNormBackward(T *dx, const T *dy, i64 stride, const T *x,
                                                       const float *w, const T *prior, i64 rows,
                                                       int width, NormRule rule, int lanes) {
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
    rmsNormBackwardRow<T, Vec<T>::size>(dx + at, from, x + at, w, before, width, rule, lane,
                                        lanes);
  } else {
    rmsNormBackwardRow<T, 1>(dx + at, from, x + at, w, before, width, rule, lane, lanes);
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
                                                      int width, NormRule rule, int lanes) {
  i64 row = rowOfThread(lanes);
  if (row >= rows) {
    return;
  }
  const T *from = x + row * width;
  int lane = laneOfThread(lanes);
  float sum = width % Vec<T>::size == 0 && isAligned16(x)
                  ? squaresOfRow<T, Vec<T>::size>(from, width, lane, lanes)
                  : squaresOfRow<T, 1>(from, width, lane, lanes);
  float result = inverseRms(rowSum(sum, lanes), width, rule);
  if (lane == 0) {
    inverse[row] = result;
  }
}

// The heads of a token, [queries, keys, values]: each of those of queries and of keys is a row with a
// weight and a width of its own kind, those of values, as wide as keys, are copied.
struct HeadKinds {
  int queries;
  int keys;
  int queryWidth;
  int keyWidth;
  const float *queryWeight;
  const float *keyWeight;
};

// One head of [tokens, heads].
struct Head {
  i64 at;          // its first element
  int width;
  const float *w;  // null for a value's

  __device__ __forceinline__ Head(HeadKinds kinds, i64 row) {
    int heads = kinds.queries + 2 * kinds.keys;
    i64 token = row / heads;
    int h = (int)(row - token * heads);
    i64 queries = (i64)kinds.queries * kinds.queryWidth;
    i64 first = token * (queries + 2 * (i64)kinds.keys * kinds.keyWidth);
    if (h < kinds.queries) {
      at = first + (i64)h * kinds.queryWidth;
      width = kinds.queryWidth;
      w = kinds.queryWeight;
    } else {
      at = first + queries + (i64)(h - kinds.queries) * kinds.keyWidth;
      width = kinds.keyWidth;
      w = h < kinds.queries + kinds.keys ? kinds.keyWeight : 0;
    }
  }
};

// Whether every head begins on 16 bytes and is a number of accesses.
template <class T>
static __device__ __forceinline__ bool onVectors(HeadKinds kinds) {
  return kinds.queryWidth % Vec<T>::size == 0 && kinds.keyWidth % Vec<T>::size == 0 &&
         isAligned16(kinds.queryWeight) && isAligned16(kinds.keyWeight);
}

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
static __device__ __forceinline__ void headNormRow(T *y, const T *x, Head head, NormRule rule,
                                                   int lane, int lanes) {
  if (head.w == 0) {
    copyRow<T, N>(y + head.at, x + head.at, 0, head.width, lane, lanes);
  } else {
    rmsNormRow<T, N>(y + head.at, x + head.at, head.w, head.width, rule, lane, lanes);
  }
}

// Rows of one block may be of other kinds, but then each has a warp: no sum goes beyond a row.
template <class T>
static __device__ __forceinline__ void headNormForward(T *y, const T *x, HeadKinds kinds, i64 rows,
                                                       NormRule rule, int lanes) {
  i64 row = rowOfThread(lanes);
  if (row >= rows) {
    return;
  }
  Head head(kinds, row);
  int lane = laneOfThread(lanes);
  if (onVectors<T>(kinds) && isAligned16(y) && isAligned16(x)) {
    headNormRow<T, Vec<T>::size>(y, x, head, rule, lane, lanes);
  } else {
    headNormRow<T, 1>(y, x, head, rule, lane, lanes);
  }
}

template <class T, int N>
static __device__ __forceinline__ void headNormBackwardRow(T *dx, const T *dy, const T *x,
                                                           Head head, const T *prior, NormRule rule,
                                                           int lane, int lanes) {
  const T *before = prior == 0 ? prior : prior + head.at;
  if (head.w == 0) {
    copyRow<T, N>(dx + head.at, dy + head.at, before, head.width, lane, lanes);
  } else {
    rmsNormBackwardRow<T, N>(dx + head.at, dy + head.at, x + head.at, head.w, before, head.width,
                             rule, lane, lanes);
  }
}

template <class T>
static __device__ __forceinline__ void headNormBackward(T *dx, const T *dy, const T *x,
                                                        HeadKinds kinds, const T *prior, i64 rows,
                                                        NormRule rule, int lanes) {
  i64 row = rowOfThread(lanes);
  if (row >= rows) {
    return;
  }
  Head head(kinds, row);
  int lane = laneOfThread(lanes);
  if (onVectors<T>(kinds) && isAligned16(dx) && isAligned16(dy) && isAligned16(x) &&
      isAligned16(prior)) {
    headNormBackwardRow<T, Vec<T>::size>(dx, dy, x, head, prior, rule, lane, lanes);
  } else {
    headNormBackwardRow<T, 1>(dx, dy, x, head, prior, rule, lane, lanes);
  }
}

#define RMS_NORM(S, T)                                                                             \
  extern "C" __global__ void rms_norm_forward_##S(T *y, const T *x, const float *w, i64 rows,      \
                                                  int width, i64 stride, float eps, float offset,  \
                                                  int rounds, int lanes) {                         \
    rmsNormForward<T>(y, x, w, rows, width, stride, NormRule{eps, offset, rounds}, lanes);         \
  }                                                                                                \
  extern "C" __global__ void rms_norm_backward_##S(                                                \
      T *dx, const T *dy, i64 stride, const T *x, const float *w, const T *prior, i64 rows,        \
      int width, float eps, float offset, int rounds, int lanes) {                                 \
    rmsNormBackward<T>(dx, dy, stride, x, w, prior, rows, width, NormRule{eps, offset, rounds},    \
                       lanes);                                                                     \
  }                                                                                                \
  extern "C" __global__ void rms_norm_inverse_##S(float *inverse, const T *x, i64 rows, int width, \
                                                  float eps, int lanes) {                          \
    rmsNormInverse<T>(inverse, x, rows, width, NormRule{eps, 0.0f, 0}, lanes);                     \
  }                                                                                                \
  extern "C" __global__ void head_norm_forward_##S(                                                \
      T *y, const T *x, const float *queryWeight, const float *keyWeight, int queries, int keys,   \
      int queryWidth, int keyWidth, i64 rows, float eps, float offset, int rounds, int lanes) {    \
    HeadKinds kinds = {queries, keys, queryWidth, keyWidth, queryWeight, keyWeight};               \
    headNormForward<T>(y, x, kinds, rows, NormRule{eps, offset, rounds}, lanes);                   \
  }                                                                                                \
  extern "C" __global__ void head_norm_backward_##S(                                               \
      T *dx, const T *dy, const T *x, const float *queryWeight, const float *keyWeight,            \
      const T *prior, int queries, int keys, int queryWidth, int keyWidth, i64 rows, float eps,    \
      float offset, int rounds, int lanes) {                                                       \
    HeadKinds kinds = {queries, keys, queryWidth, keyWidth, queryWeight, keyWeight};               \
    headNormBackward<T>(dx, dy, x, kinds, prior, rows, NormRule{eps, offset, rounds}, lanes);      \
  }

KERNELS(RMS_NORM)
