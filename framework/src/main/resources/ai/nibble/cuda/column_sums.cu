// Sums over the rows of a matrix, in two passes without atomics: each block sums a tile of columns
// over a chunk of rows, then a thread a column adds the chunks' sums in their order.

#define COLUMN_LANES 32
#define ROW_LANES 8

// Sums of dy, or with x of dy times what nn/RmsNorm made of x before it met the weight, over rows
// [begin, end).
template <class T, int N>
static __device__ __forceinline__ void columnSumsChunk(float *partial, const T *dy, const T *x,
                                                       const float *inverse, int rounds, i64 begin,
                                                       i64 end, int width, i64 rowStride) {
  __shared__ float parts[ROW_LANES][COLUMN_LANES * Vec<T>::size];
  int columnLane = threadIdx.x % COLUMN_LANES;
  int rowLane = threadIdx.x / COLUMN_LANES;
  constexpr int TILE = COLUMN_LANES * N;
  for (int tile = blockIdx.x * TILE; tile < width; tile += gridDim.x * TILE) {
    int c = tile + columnLane * N;
    float sum[N];
#pragma unroll
    for (int e = 0; e < N; e++) {
      sum[e] = 0.0f;
    }
    if (c < width) {
#pragma unroll 4
      for (i64 row = begin + rowLane; row < end; row += ROW_LANES) {
        float g[N];
        loadFloats(g, dy + row * rowStride + c);
        if (x != 0) {
          float v[N];
          loadFloats(v, x + row * rowStride + c);
#pragma unroll
          for (int e = 0; e < N; e++) {
            float normed = v[e] * inverse[row];
            g[e] *= rounds ? rounded<T>(normed) : normed;
          }
        }
#pragma unroll
        for (int e = 0; e < N; e++) {
          sum[e] += g[e];
        }
      }
    }
#pragma unroll
    for (int e = 0; e < N; e++) {
      parts[rowLane][columnLane * N + e] = sum[e];
    }
    __syncthreads();
    for (int i = threadIdx.x; i < TILE && tile + i < width; i += blockDim.x) {
      float total = 0.0f;
#pragma unroll
      for (int r = 0; r < ROW_LANES; r++) {
        total += parts[r][i];
      }
      partial[tile + i] = total;
    }
    __syncthreads();
  }
}

// partial [chunks, width]; dy's first element is the first of its column that is summed.
template <class T>
static __device__ __forceinline__ void columnSums(float *partial, const T *dy, const T *x,
                                                  const float *inverse, int rounds, i64 rows,
                                                  int width, i64 rowStride, i64 rowsPerChunk) {
  i64 begin = blockIdx.y * rowsPerChunk;
  i64 end = begin + rowsPerChunk < rows ? begin + rowsPerChunk : rows;
  float *to = partial + (i64)blockIdx.y * width;
  if (width % Vec<T>::size == 0 && rowStride % Vec<T>::size == 0 && isAligned16(dy) &&
      isAligned16(x)) {
    columnSumsChunk<T, Vec<T>::size>(to, dy, x, inverse, rounds, begin, end, width, rowStride);
  } else {
    columnSumsChunk<T, 1>(to, dy, x, inverse, rounds, begin, end, width, rowStride);
  }
}

extern "C" __global__ void column_sums_add(float *grad, const float *partial, int chunks,
                                           int width) {
  i64 c = (i64)blockIdx.x * blockDim.x + threadIdx.x;
  if (c >= width) {
    return;
  }
  float total = 0.0f;
#pragma unroll 8
  for (int chunk = 0; chunk < chunks; chunk++) {
    total += partial[(i64)chunk * width + c];
  }
  grad[c] += total;
}

#define COLUMN_SUMS(S, T)                                                                      \
  extern "C" __global__ void column_sums_##S(float *partial, const T *dy, i64 rows, int width, \
                                             i64 rowStride, int column, i64 rowsPerChunk) {    \
    columnSums<T>(partial, dy + column, 0, 0, 0, rows, width, rowStride, rowsPerChunk);        \
  }                                                                                            \
  extern "C" __global__ void normed_column_sums_##S(float *partial, const T *dy, const T *x,   \
                                                    const float *inverse, int rounds,          \
                                                    i64 rows, int width, i64 rowsPerChunk) {   \
    columnSums<T>(partial, dy, x, inverse, rounds, rows, width, width, rowsPerChunk);          \
  }

KERNELS(COLUMN_SUMS)
