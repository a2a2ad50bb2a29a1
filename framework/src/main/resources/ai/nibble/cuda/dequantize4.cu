// 4-bit weights to T: codes[nibble] * absmax in float32, rounded to nearest even.
//
// Memory-bound: half a byte is read and sizeof(T) written an element. A step is one 16-byte store, so
// that a warp writes 512 contiguous bytes, and the 4 bytes of codes (2 for float) that it needs, so
// that the reads are contiguous too; each thread has STEPS of them under way. 16 values lie in 16
// banks of shared memory, so that look-ups never conflict.

static const int STEPS = 4;
static const int THREADS = 128;

// The codes of elements [first, first + count), first a multiple of 8 and count 8 or 4; those beyond
// the weight's end read as 0.
static __device__ __forceinline__ u32 loadCodes(const u8 *packed, i64 first, int count, i64 numel) {
  const u8 *p = packed + first / 2;
  if (first + count <= numel && ((u64)packed & 3) == 0) {
    return count == 8 ? __ldg((const u32 *)p) : __ldg((const u16 *)p);
  }
  u32 codes = 0;
  for (int i = 0; i < count / 2; i++) {
    if (first + 2 * i < numel) codes |= (u32)p[i] << 8 * i;
  }
  return codes;
}

// Elements [begin, begin + rows * columns) of the flat weight to out [rows, columns] with rows
// `stride` elements apart. Blocks go by row, then by chunk of a row. Steps are aligned in the flat
// weight, so the first and last of a row may lie partly outside it.
template <class T>
static __device__ void dequantize(T *out, i64 stride, const u8 *packed, Absmax4 absmax,
                                  const float *map, const float *codes, int blockShift, i64 numel,
                                  i64 begin, i64 columns, u32 chunks) {
  const int V = Vec<T>::size;
  __shared__ float table[16];
  __shared__ float nestedMap[256];
  u32 row = blockIdx.x / chunks, chunk = blockIdx.x % chunks;
  i64 rowBegin = begin + row * columns, rowEnd = rowBegin + columns;
  i64 first = rowBegin / V * V + (i64)chunk * (STEPS * THREADS * V) + threadIdx.x * V;
  u32 words[STEPS];
  Statistic4 statistics[STEPS];
#pragma unroll
  for (int k = 0; k < STEPS; k++) {
    i64 at = first + k * (THREADS * V);
    words[k] = 0;
    statistics[k] = Statistic4{0.0f, 0};
    if (at < rowEnd) {
      words[k] = loadCodes(packed, at, V, numel);
      statistics[k] = loadStatistic(absmax, at >> blockShift);
    }
  }
  if (threadIdx.x < 16) table[threadIdx.x] = codes[threadIdx.x];
  if (absmax.absmax2 != nullptr) {
    for (int i = threadIdx.x; i < 256; i += THREADS) nestedMap[i] = __ldg(map + i);
  }
  __syncthreads();
  T *target = out + row * stride - rowBegin;  // of flat element 0
#pragma unroll
  for (int k = 0; k < STEPS; k++) {
    i64 at = first + k * (THREADS * V);
    if (at >= rowEnd) return;
    float scale = absmaxOf(absmax, statistics[k], nestedMap);
    float values[V];
#pragma unroll
    for (int i = 0; i < V; i++) {
      values[i] = table[words[k] >> (i ^ 1) * 4 & 15] * scale;  // high nibble first
    }
    if (at >= rowBegin && at + V <= rowEnd && isAligned16(target + at)) {
      storeVec(target + at, values);
    } else {
#pragma unroll
      for (int i = 0; i < V; i++) {
        if (at + i >= rowBegin && at + i < rowEnd) target[at + i] = fromFloat<T>(values[i]);
      }
    }
  }
}

#define DEQUANTIZE(suffix, T)                                                                     \
  extern "C" __global__ void __launch_bounds__(128) dequantize4_##suffix(                         \
      T *out, i64 stride, const u8 *packed, const void *absmax, const float *absmax2,             \
      const float *map, float offset, int type, int blockShift, i64 numel, i64 begin, i64 columns, \
      int chunks) {                                                                               \
    dequantize<T>(out, stride, packed, Absmax4{absmax, absmax2, offset}, map, CODES4 + 16 * type, \
                  blockShift, numel, begin, columns, (u32)chunks);                                \
  }
KERNELS(DEQUANTIZE)
