// T to 4-bit codes and a float32 absmax a block, with the bits of bitsandbytes on the CPU.
//
// A thread takes 8 elements and writes their 4 bytes of codes; blockSize / 8 threads share a block's
// absmax. 512 threads take 4096 elements, a multiple of every block size.

static const int THREADS = 512;

template <class T>
static __device__ __forceinline__ void load8(const T *p, float *values) {
  const int V = Vec<T>::size;
#pragma unroll
  for (int i = 0; i < 8; i += V) loadVec(p + i, values + i);
}

// How many thresholds lie strictly below x, of 15 ascending ones: a search in four steps.
static __device__ __forceinline__ u32 rankOf(float x, const float *thresholds) {
  u32 rank = 0;
#pragma unroll
  for (u32 step = 8; step > 0; step >>= 1) {
    if (x > thresholds[rank + step - 1]) rank += step;
  }
  return rank;
}

// The greatest magnitude of the block's elements, as bits: their order is that of the magnitudes,
// infinity and NaN above all.
static __device__ __forceinline__ u32 blockMagnitude(u32 bits, int blockSize, u32 *warps) {
  int lanes = blockSize / 8;
#pragma unroll
  for (int l = 1; l < 32; l <<= 1) {
    u32 other = __shfl_xor_sync(0xffffffffu, bits, l);
    if (l < lanes) bits = max(bits, other);
  }
  if (lanes <= 32) return bits;
  int warp = threadIdx.x >> 5, n = lanes / 32;
  if ((threadIdx.x & 31) == 0) warps[warp] = bits;
  __syncthreads();
  for (int w = 0; w < n; w++) bits = max(bits, warps[(warp & ~(n - 1)) + w]);
  return bits;
}

template <class T>
static __device__ void quantize(u8 *packed, float *absmax, const T *in, int type, int blockShift,
                                i64 numel) {
  __shared__ float thresholds[15];
  __shared__ u8 codes[16];
  __shared__ u32 warps[THREADS / 32];
  int blockSize = 1 << blockShift;
  i64 at = ((i64)blockIdx.x * THREADS + threadIdx.x) * 8;
  float values[8];
  if (at + 8 <= numel && isAligned16(in)) {
    load8(in + at, values);
  } else {
#pragma unroll
    for (int i = 0; i < 8; i++) values[i] = at + i < numel ? toFloat(in[at + i]) : 0.0f;
  }
  if (threadIdx.x < 16) {
    int rank = threadIdx.x;
    u8 code = type == FP4 ? FP4_OF_RANK[rank] : (u8)rank;
    codes[rank] = code;
    if (rank < 15) {
      u8 next = type == FP4 ? FP4_OF_RANK[rank + 1] : (u8)(rank + 1);
      thresholds[rank] = (CODES4[16 * type + code] + CODES4[16 * type + next]) / 2;
    }
  }
  u32 bits = 0;
#pragma unroll
  for (int i = 0; i < 8; i++) bits = max(bits, __float_as_uint(values[i]) & 0x7fffffffu);
  float greatest = __uint_as_float(blockMagnitude(bits, blockSize, warps));
  __syncthreads();
  if (at >= numel) return;

  // bitsandbytes guards the division thus, multiplies a full block by the reciprocal, divides the
  // elements of a short one and stores what it divided by.
  float divisor = greatest < 1e-38f ? 1e-38f : greatest;
  i64 block = at >> blockShift;
  bool full = (block + 1) << blockShift <= numel;
  if ((at & (blockSize - 1)) == 0) absmax[block] = full ? greatest : divisor;
  float reciprocal = 1.0f / divisor;
  u32 word = 0;
#pragma unroll
  for (int i = 0; i < 8; i++) {
    float x = full ? values[i] * reciprocal : values[i] / divisor;
    word |= (u32)codes[rankOf(x, thresholds)] << (i ^ 1) * 4;  // high nibble first
  }
  u8 *p = packed + at / 2;
  if (at + 8 <= numel && ((u64)packed & 3) == 0) {
    *(u32 *)p = word;
  } else {
    for (int i = 0; i < 4 && at + 2 * i < numel; i++) p[i] = (u8)(word >> 8 * i);
  }
}

#define QUANTIZE(suffix, T)                                                                   \
  extern "C" __global__ void __launch_bounds__(512) quantize4_##suffix(                       \
      u8 *packed, float *absmax, const T *in, int type, int blockShift, i64 numel) {          \
    quantize<T>(packed, absmax, in, type, blockShift, numel);                                 \
  }
KERNELS(QUANTIZE)
