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
  }

KERNELS(RMS_NORM)
