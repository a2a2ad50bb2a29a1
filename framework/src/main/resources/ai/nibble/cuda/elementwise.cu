// What is done element by element or row by row: sums, biases, gradients brought to their place.

// out = a + b over n elements; out may be a or b.
template <class T, int N>
static __device__ __forceinline__ void addPieces(T *out, const T *a, const T *b, i64 n) {
  i64 step = (i64)gridDim.x * blockDim.x * N;
#pragma unroll 2
  for (i64 i = ((i64)blockIdx.x * blockDim.x + threadIdx.x) * N; i + N <= n; i += step) {
    float x[N];
    float y[N];
    loadFloats(x, a + i);
    loadFloats(y, b + i);
#pragma unroll
    for (int e = 0; e < N; e++) x[e] += y[e];
    storeFloats(out + i, x);
  }
}

template <class T>
static __device__ __forceinline__ void add(T *out, const T *a, const T *b, i64 n) {
  i64 whole = 0;
  if (isAligned16(out) && isAligned16(a) && isAligned16(b)) {
    whole = n / Vec<T>::size * Vec<T>::size;
    addPieces<T, Vec<T>::size>(out, a, b, whole);
  }
  addPieces<T, 1>(out + whole, a + whole, b + whole, n - whole);
}

// x = scale * x over n elements.
template <class T, int N>
static __device__ __forceinline__ void scalePieces(T *x, i64 n, float scale) {
  i64 step = (i64)gridDim.x * blockDim.x * N;
#pragma unroll 2
  for (i64 i = ((i64)blockIdx.x * blockDim.x + threadIdx.x) * N; i + N <= n; i += step) {
    float v[N];
    loadFloats(v, x + i);
#pragma unroll
    for (int e = 0; e < N; e++) v[e] *= scale;
    storeFloats(x + i, v);
  }
}

template <class T>
static __device__ __forceinline__ void scale(T *x, i64 n, float factor) {
  i64 whole = isAligned16(x) ? n / Vec<T>::size * Vec<T>::size : 0;
  scalePieces<T, Vec<T>::size>(x, whole, factor);
  scalePieces<T, 1>(x + whole, n - whole, factor);
}

// y += bias over the elements of this block's row.
template <class T, int N>
static __device__ __forceinline__ void addBiasRow(T *y, const float *bias, int width) {
  int step = gridDim.y * blockDim.x * N;
  for (int c = (blockIdx.y * blockDim.x + threadIdx.x) * N; c < width; c += step) {
    float sum[N];
    float more[N];
    loadFloats(sum, y + c);
    loadFloats(more, bias + c);
#pragma unroll
    for (int e = 0; e < N; e++) sum[e] += more[e];
    storeFloats(y + c, sum);
  }
}

template <class T>
static __device__ __forceinline__ void addBias(T *y, const float *bias, int width) {
  T *row = y + (i64)blockIdx.x * width;
  if (width % Vec<T>::size == 0 && isAligned16(y) && isAligned16(bias)) {
    addBiasRow<T, Vec<T>::size>(row, bias, width);
  } else {
    addBiasRow<T, 1>(row, bias, width);
  }
}

// y += bound * noise over the elements of this block's row: the upper 24 bits of an index's hash,
// on [-1, 1) (nn/EmbeddingNoise). The product is rounded first.
template <class T, int N>
static __device__ __forceinline__ void addNoiseRow(T *y, float bound, u64 first, int width,
                                                   u64 key) {
  int step = gridDim.y * blockDim.x * N;
  for (int c = (blockIdx.y * blockDim.x + threadIdx.x) * N; c < width; c += step) {
    float sum[N];
    loadFloats(sum, y + c);
#pragma unroll
    for (int e = 0; e < N; e++) {
      u64 bits = mix(key + GOLDEN_GAMMA * (first + c + e + 1));
      float uniform = (float)(u32)(bits >> 40) * 0x1p-23f - 1;
      sum[e] += bound * uniform;
    }
    storeFloats(y + c, sum);
  }
}

template <class T>
static __device__ __forceinline__ void addNoise(T *y, const float *bounds, int width, u64 key) {
  u64 first = (u64)blockIdx.x * width;
  T *row = y + first;
  if (width % Vec<T>::size == 0 && isAligned16(y)) {
    addNoiseRow<T, Vec<T>::size>(row, bounds[blockIdx.x], first, width, key);
  } else {
    addNoiseRow<T, 1>(row, bounds[blockIdx.x], first, width, key);
  }
}

// grad += scale * gradient over the elements of this block's row; the product is rounded first.
template <class T, int N>
static __device__ __forceinline__ void addScaledRow(float *grad, const T *gradient, i64 width,
                                                    float scale) {
  i64 step = (i64)gridDim.y * blockDim.x * N;
  for (i64 c = ((i64)blockIdx.y * blockDim.x + threadIdx.x) * N; c < width; c += step) {
    float sum[N];
    float more[N];
    loadFloats(sum, grad + c);
    loadFloats(more, gradient + c);
#pragma unroll
    for (int e = 0; e < N; e++) sum[e] += scale * more[e];
    storeFloats(grad + c, sum);
  }
}

template <class T>
static __device__ __forceinline__ void addScaled(float *grad, const T *gradient, i64 width,
                                                 i64 rowStride, float scale) {
  float *to = grad + blockIdx.x * width;
  const T *from = gradient + blockIdx.x * rowStride;
  if (width % Vec<T>::size == 0 && rowStride % Vec<T>::size == 0 && isAligned16(grad) &&
      isAligned16(gradient)) {
    addScaledRow<T, Vec<T>::size>(to, from, width, scale);
  } else {
    addScaledRow<T, 1>(to, from, width, scale);
  }
}

// Where a row stands in the ascending index, or -1.
static __device__ __forceinline__ i64 placeOf(i64 row, const i64 *index, i64 count) {
  i64 low = 0;
  i64 high = count;
  while (low < high) {
    i64 middle = (low + high) / 2;
    if (index[middle] < row) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low < count && index[low] == row ? low : -1;
}

// This block's row of the result: the row of its place, or zeros.
template <class T, int N>
static __device__ __forceinline__ void scatterRow(T *out, const T *from, int width) {
  int step = gridDim.y * blockDim.x * N;
  for (int c = (blockIdx.y * blockDim.x + threadIdx.x) * N; c < width; c += step) {
    storePiece<T, N>(out + c, from == 0 ? Piece<T, N>{} : loadPiece<T, N>(from + c));
  }
}

template <class T>
static __device__ __forceinline__ void scatterRows(T *out, const T *rows, const i64 *index,
                                                   i64 count, int width) {
  i64 place = placeOf(blockIdx.x, index, count);
  T *to = out + (i64)blockIdx.x * width;
  const T *from = place < 0 ? 0 : rows + place * width;
  if (width % Vec<T>::size == 0 && isAligned16(out) && isAligned16(rows)) {
    scatterRow<T, Vec<T>::size>(to, from, width);
  } else {
    scatterRow<T, 1>(to, from, width);
  }
}

// grad[token] += scale * the rows of dy at the token's positions, in their order; products are rounded
// first.
template <class T, int N>
static __device__ __forceinline__ void addTokenRows(float *grad, const T *dy, const int *positions,
                                                    int begin, int end, int width, float scale) {
  int step = gridDim.y * blockDim.x * N;
  for (int c = (blockIdx.y * blockDim.x + threadIdx.x) * N; c < width; c += step) {
    float sum[N];
    loadFloats(sum, grad + c);
#pragma unroll 4
    for (int i = begin; i < end; i++) {
      float more[N];
      loadFloats(more, dy + (i64)positions[i] * width + c);
#pragma unroll
      for (int e = 0; e < N; e++) sum[e] += scale * more[e];
    }
    storeFloats(grad + c, sum);
  }
}

template <class T>
static __device__ __forceinline__ void embeddingGradient(float *grad, const T *dy,
                                                         const int *positions, const int *starts,
                                                         int width, float scale) {
  int begin = starts[blockIdx.x];
  int end = starts[blockIdx.x + 1];
  if (begin == end) return;
  float *to = grad + (i64)blockIdx.x * width;
  if (width % Vec<T>::size == 0 && isAligned16(grad) && isAligned16(dy)) {
    addTokenRows<T, Vec<T>::size>(to, dy, positions, begin, end, width, scale);
  } else {
    addTokenRows<T, 1>(to, dy, positions, begin, end, width, scale);
  }
}

// This block's row of the result: the group's rows, wide elements each, added in order.
template <class T, int N>
static __device__ __forceinline__ void sumGroup(T *out, const T *rows, int group, int width,
                                                int wide) {
  int step = gridDim.y * blockDim.x * N;
  for (int c = (blockIdx.y * blockDim.x + threadIdx.x) * N; c < width; c += step) {
    float sum[N];
    loadFloats(sum, rows + c);
#pragma unroll 4
    for (int g = 1; g < group; g++) {
      float more[N];
      loadFloats(more, rows + (i64)g * wide + c);
#pragma unroll
      for (int e = 0; e < N; e++) sum[e] += more[e];
    }
    storeFloats(out + c, sum);
  }
}

template <class T>
static __device__ __forceinline__ void sumGroups(T *out, const T *rows, int group, int width,
                                                 int wide) {
  T *to = out + (i64)blockIdx.x * width;
  const T *from = rows + (i64)blockIdx.x * group * wide;
  if (width % Vec<T>::size == 0 && wide % Vec<T>::size == 0 && isAligned16(out) &&
      isAligned16(rows)) {
    sumGroup<T, Vec<T>::size>(to, from, group, width, wide);
  } else {
    sumGroup<T, 1>(to, from, group, width, wide);
  }
}

#define ELEMENTWISE(S, T)                                                                         \
  extern "C" __global__ void add_##S(T *out, const T *a, const T *b, i64 n) {                     \
    add<T>(out, a, b, n);                                                                         \
  }                                                                                               \
  extern "C" __global__ void scale_##S(T *x, i64 n, float factor) { scale<T>(x, n, factor); }      \
  extern "C" __global__ void add_bias_##S(T *y, const float *bias, int width) {                   \
    addBias<T>(y, bias, width);                                                                   \
  }                                                                                               \
  extern "C" __global__ void add_noise_##S(T *y, const float *bounds, int width, u64 key) {       \
    addNoise<T>(y, bounds, width, key);                                                           \
  }                                                                                               \
  extern "C" __global__ void add_scaled_##S(float *grad, const T *gradient, i64 width,            \
                                            i64 rowStride, float scale) {                         \
    addScaled<T>(grad, gradient, width, rowStride, scale);                                        \
  }                                                                                               \
  extern "C" __global__ void scatter_rows_##S(T *out, const T *rows, const i64 *index, i64 count, \
                                              int width) {                                        \
    scatterRows<T>(out, rows, index, count, width);                                               \
  }                                                                                               \
  extern "C" __global__ void embedding_gradient_##S(                                              \
      float *grad, const T *dy, const int *positions, const int *starts, int width,               \
      float scale) {                                                                              \
    embeddingGradient<T>(grad, dy, positions, starts, width, scale);                              \
  }                                                                                               \
  extern "C" __global__ void sum_groups_##S(T *out, const T *rows, int group, int width,          \
                                            int wide) {                                           \
    sumGroups<T>(out, rows, group, width, wide);                                                  \
  }

KERNELS(ELEMENTWISE)
