// Row-wise int8 of LLM.int8() (Dettmers et al. 2022), as bitsandbytes quantises and recovers it.

static const int THREADS = 256;

// q = round to even(x * (1 / absmax * 127)) a row, absmax over what lies below the threshold in magnitude;
// threshold 0 means none. outliers [columns]: set to 1 where a value of the column reaches it.
template <class T>
static __device__ void quantizeRows(i8 *q, float *absmax, u8 *outliers, const T *in, i64 columns,
                                    float threshold) {
  const int V = Vec<T>::size;
  __shared__ float scratch[32];
  const T *row = in + blockIdx.x * columns;
  i8 *out = q + blockIdx.x * columns;
  bool aligned = isAligned16(row);
  i64 vectors = aligned ? columns / V * V : 0;
  float greatest = 0.0f;
  for (i64 c = threadIdx.x * V; c < vectors; c += THREADS * V) {
    float values[V];
    loadVec(row + c, values);
#pragma unroll
    for (int i = 0; i < V; i++) {
      float magnitude = fabsf(values[i]);
      if (threshold == 0.0f || magnitude < threshold) greatest = fmaxf(greatest, magnitude);
    }
  }
  for (i64 c = vectors + threadIdx.x; c < columns; c += THREADS) {
    float magnitude = fabsf(toFloat(row[c]));
    if (threshold == 0.0f || magnitude < threshold) greatest = fmaxf(greatest, magnitude);
  }
  greatest = blockMax(greatest, 0.0f, scratch);
  if (threadIdx.x == 0) absmax[blockIdx.x] = greatest;
  float scale = greatest < 1e-36f ? 0.0f : 1.0f / greatest * 127.0f;
  // Bytes side by side come from threads side by side; the row is in the cache by now.
  for (i64 c = threadIdx.x; c < columns; c += THREADS) {
    float x = toFloat(row[c]);
    bool outlier = threshold != 0.0f && !(fabsf(x) < threshold);
    out[c] = outlier ? (i8)0 : (i8)__float2int_rn(x * scale);
    if (outlier) outliers[c] = 1;  // whichever row's block comes, the same value
  }
}

// Zeroes the columns that are outliers in any row: they take part in 16 bits instead.
extern "C" __global__ void __launch_bounds__(256)
    int8_zero_columns(i8 *q, const u8 *outliers, i64 rows, i64 columns) {
  i64 c = (i64)blockIdx.x * THREADS + threadIdx.x;
  if (c >= columns || !outliers[c]) return;
  for (i64 r = blockIdx.y; r < rows; r += gridDim.y) q[r * columns + c] = 0;
}

// y[r, c] = (float) sums[r, c] * (1 / 127^2) * rowAbsmax[r] * columnAbsmax[c], each product rounded.
template <class T>
static __device__ void recover(T *y, const i32 *sums, const float *rowAbsmax,
                               const float *columnAbsmax, i64 columns, u32 chunks) {
  i64 row = blockIdx.x / chunks;
  i64 c = (i64)(blockIdx.x % chunks) * THREADS + threadIdx.x;
  if (c >= columns) return;
  float value = __int2float_rn(sums[row * columns + c]) * 6.200012e-05f;
  y[row * columns + c] = fromFloat<T>(value * rowAbsmax[row] * columnAbsmax[c]);
}

// w[r, c] = q[r, c] * absmax[r] / 127.
template <class T>
static __device__ void dequantizeRows(T *w, const i8 *q, const float *absmax, i64 columns,
                                      u32 chunks) {
  i64 row = blockIdx.x / chunks;
  i64 c = (i64)(blockIdx.x % chunks) * THREADS + threadIdx.x;
  if (c >= columns) return;
  w[row * columns + c] = fromFloat<T>(__int2float_rn(q[row * columns + c]) * absmax[row] / 127.0f);
}

#define INT8(suffix, T)                                                                           \
  extern "C" __global__ void __launch_bounds__(256) int8_quantize_rows_##suffix(                  \
      i8 *q, float *absmax, u8 *outliers, const T *in, i64 columns, float threshold) {            \
    quantizeRows<T>(q, absmax, outliers, in, columns, threshold);                                 \
  }                                                                                               \
  extern "C" __global__ void __launch_bounds__(256) int8_recover_##suffix(                        \
      T *y, const i32 *sums, const float *rowAbsmax, const float *columnAbsmax, i64 columns,      \
      int chunks) {                                                                               \
    recover<T>(y, sums, rowAbsmax, columnAbsmax, columns, (u32)chunks);                           \
  }                                                                                               \
  extern "C" __global__ void __launch_bounds__(256) int8_dequantize_rows_##suffix(                \
      T *w, const i8 *q, const float *absmax, i64 columns, int chunks) {                          \
    dequantizeRows<T>(w, q, absmax, columns, (u32)chunks);                                        \
  }
KERNELS(INT8)
