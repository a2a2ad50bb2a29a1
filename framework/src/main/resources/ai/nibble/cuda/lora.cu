// What low-rank adapters need beside matrix products: operands laid side by side, and dropout
// decided by a hash of the element's index (nn/Dropout).

// `count` elements from one place to another by the threads of this block's row.
template <class T, int N>
static __device__ __forceinline__ void copyPieces(T *to, const T *from, int count) {
#pragma unroll 4
  for (int c = threadIdx.x * N; c < count; c += blockDim.x * N) {
    storePiece<T, N>(to + c, loadPiece<T, N>(from + c));
  }
}

template <class T>
static __device__ __forceinline__ void copyElements(T *to, const T *from, int count) {
  if (count % Vec<T>::size == 0 && isAligned16(to) && isAligned16(from)) {
    copyPieces<T, Vec<T>::size>(to, from, count);
  } else {
    copyPieces<T, 1>(to, from, count);
  }
}

template <class T>
static __device__ __forceinline__ void extendRow(T *extended, const T *x, const T *h, int in,
                                                 int rank, int width) {
  T *to = extended + (i64)blockIdx.x * width;
  copyElements<T>(to, x + (i64)blockIdx.x * in, in);
  copyElements<T>(to + in, h + (i64)blockIdx.x * rank, rank);
  clearRoom(to, in + rank, width, threadIdx.x, blockDim.x);
}

// What an element is dropped by: 16 of the 64 bits that the hash of its group of four gives.
struct Mask {
  u64 key;
  u32 threshold;
  float scale;

  __device__ __forceinline__ u64 bits(u64 index) const {
    return mix(key + GOLDEN_GAMMA * (index / 4 + 1));
  }
  __device__ __forceinline__ float factor(u64 bits, int element) const {
    return (u32)(bits >> 16 * (element & 3) & 0xffffu) < threshold ? 0.0f : scale;
  }
};

// Multiplies elements [index, index + N) by their factors. Rows begin at multiples of four.
template <int N>
static __device__ __forceinline__ void drop(float (&row)[N], u64 index, Mask mask) {
  u64 bits = 0;
#pragma unroll
  for (int e = 0; e < N; e++) {
    if (e % 4 == 0) bits = mask.bits(index + e);
    row[e] *= mask.factor(bits, N == 1 ? (int)index : e);
  }
}

static __device__ __forceinline__ u64 firstIndex(int width) {
  return (u64)blockIdx.x * ((width + 3) & ~3);
}

template <class T, int N>
static __device__ __forceinline__ void dropoutRow(T *out, const T *x, int width, Mask mask) {
#pragma unroll 2
  for (int c = threadIdx.x * N; c < width; c += blockDim.x * N) {
    float row[N];
    loadFloats(row, x + c);
    drop(row, firstIndex(width) + c, mask);
    storeFloats(out + c, row);
  }
}

template <class T>
static __device__ __forceinline__ void dropout(T *out, const T *x, int width, i64 stride,
                                               Mask mask) {
  T *to = out + (i64)blockIdx.x * width;
  const T *from = x + (i64)blockIdx.x * stride;
  if (width % Vec<T>::size == 0 && stride % Vec<T>::size == 0 && isAligned16(out) &&
      isAligned16(x)) {
    dropoutRow<T, Vec<T>::size>(to, from, width, mask);
  } else {
    dropoutRow<T, 1>(to, from, width, mask);
  }
}

// result = all + drop(through) + prior; a threshold of 0 drops nothing.
template <class T, int N>
static __device__ __forceinline__ void inputGradientRow(T *result, const T *all, const T *through,
                                                        const T *prior, int width, Mask mask) {
#pragma unroll 2
  for (int c = threadIdx.x * N; c < width; c += blockDim.x * N) {
    float sum[N];
    float more[N];
    loadFloats(sum, all + c);
    if (through != 0) {
      loadFloats(more, through + c);
      if (mask.threshold > 0) drop(more, firstIndex(width) + c, mask);
#pragma unroll
      for (int e = 0; e < N; e++) sum[e] += more[e];
    }
    if (prior != 0) {
      loadFloats(more, prior + c);
#pragma unroll
      for (int e = 0; e < N; e++) sum[e] += more[e];
    }
    storeFloats(result + c, sum);
  }
}

template <class T>
static __device__ __forceinline__ void inputGradient(T *result, const T *all, const T *through,
                                                     const T *prior, int width, i64 stride,
                                                     Mask mask) {
  i64 at = (i64)blockIdx.x * width;
  const T *base = all + (i64)blockIdx.x * stride;
  const T *low = through == 0 ? through : through + at;
  const T *before = prior == 0 ? prior : prior + at;
  if (width % Vec<T>::size == 0 && stride % Vec<T>::size == 0 && isAligned16(result) &&
      isAligned16(all) && isAligned16(through) && isAligned16(prior)) {
    inputGradientRow<T, Vec<T>::size>(result + at, base, low, before, width, mask);
  } else {
    inputGradientRow<T, 1>(result + at, base, low, before, width, mask);
  }
}

// An element of a member's scaled B, a product of float32 and float64 rounded to float32; 0 beside it.
static __device__ __forceinline__ float scaledUp(const float *b, int row, int own, int r,
                                                 double scaling) {
  return b != 0 && own >= 0 && own < r ? (float)((double)b[(i64)row * r + own] * scaling) : 0.0f;
}

// `ranks` columns of each row: zeros, and from `column` of them on r scaled ones.
template <class T, int N>
static __device__ __forceinline__ void upPieces(T *destination, const float *b, int rows,
                                                i64 stride, int ranks, int column, int r,
                                                double scaling) {
  int pieces = ranks / N;
  int all = rows * pieces;
  int step = gridDim.x * blockDim.x;
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < all; i += step) {
    int row = i / pieces;
    int rank = (i - row * pieces) * N;
    float values[N];
#pragma unroll
    for (int e = 0; e < N; e++) values[e] = scaledUp(b, row, rank + e - column, r, scaling);
    storeFloats(destination + row * stride + rank, values);
  }
}

template <class T>
static __device__ __forceinline__ void upProjection(T *destination, const float *b, int rows,
                                                    i64 stride, int ranks, int column, int r,
                                                    double scaling) {
  if (ranks % Vec<T>::size == 0 && stride % Vec<T>::size == 0 && isAligned16(destination)) {
    upPieces<T, Vec<T>::size>(destination, b, rows, stride, ranks, column, r, scaling);
  } else {
    upPieces<T, 1>(destination, b, rows, stride, ranks, column, r, scaling);
  }
}

// n elements of float32 as T.
template <class T, int N>
static __device__ __forceinline__ void convertPieces(T *to, const float *from, i64 n) {
  i64 step = (i64)gridDim.x * blockDim.x * N;
  for (i64 i = ((i64)blockIdx.x * blockDim.x + threadIdx.x) * N; i < n; i += step) {
    float values[N];
    loadFloats(values, from + i);
    storeFloats(to + i, values);
  }
}

template <class T>
static __device__ __forceinline__ void downProjection(T *to, const float *from, i64 n) {
  if (n % Vec<T>::size == 0 && isAligned16(to) && isAligned16(from)) {
    convertPieces<T, Vec<T>::size>(to, from, n);
  } else {
    convertPieces<T, 1>(to, from, n);
  }
}

#define LORA(S, T)                                                                              \
  extern "C" __global__ void lora_extend_##S(T *extended, const T *x, const T *h, int in,       \
                                             int rank, int width) {                             \
    extendRow<T>(extended, x, h, in, rank, width);                                              \
  }                                                                                             \
  extern "C" __global__ void lora_dropout_##S(T *out, const T *x, int width, i64 stride,        \
                                              u64 key, int threshold, float scale) {            \
    dropout<T>(out, x, width, stride, Mask{key, (u32)threshold, scale});                        \
  }                                                                                             \
  extern "C" __global__ void lora_input_gradient_##S(T *result, const T *all, const T *through, \
                                                     const T *prior, int width, i64 stride,     \
                                                     u64 key, int threshold, float scale) {     \
    inputGradient<T>(result, all, through, prior, width, stride,                                \
                     Mask{key, (u32)threshold, scale});                                         \
  }                                                                                             \
  extern "C" __global__ void lora_up_##S(T *destination, const float *b, int rows, i64 stride,  \
                                         i64 firstRow, int first, int ranks, int column, int r, \
                                         double scaling) {                                      \
    upProjection<T>(destination + firstRow * stride + first, b, rows, stride, ranks, column, r, \
                    scaling);                                                                   \
  }                                                                                             \
  extern "C" __global__ void lora_down_##S(T *destination, const float *a, i64 first, i64 n) {  \
    downProjection<T>(destination + first, a, n);                                               \
  }

KERNELS(LORA)
