// y = x * W^T for up to 8 rows of x and a weight W [out, in] in 4 bits, read once. Its values are
// codes[nibble] * absmax rounded to T, as dequantising gives them, and exist in registers alone; sums
// are float32 in a fixed order.
//
// At 3 TB/s an H100 has some 7 instructions for each weight, so two things are made cheap here. A
// byte of codes finds both its values in one look-up of a table that is held 16 times, side by side,
// so that no two lanes of a half-warp meet in a bank. And products and sums are the tensor cores':
// the 8 columns of their B operand are the rows of x.
//
// A block takes 16 rows of W. Each warp takes chunks of 128 columns in turn, with the loads
// of two chunks under way before the look-ups of the first; in the end the warps' sums are added up.

static const int MAX_WARPS = 16;
static const int ROWS = 16;      // of W, a block; of productAny as many as it has warps
static const int BATCH = 8;      // rows of x, at most
static const int COLUMNS = 128;  // a chunk
static const int UNIT = 32;      // columns that a lane has of a row and chunk: 16 bytes, one block
static const int COPIES = 16;    // of the table of pairs

struct __align__(8) Pair {
  float high, low;  // values of the nibbles: the first element is the high one
};

// d += A * B on tensor cores: A [16, 16] in rows g and g + 8 of lane 4 g + t, columns 2t, 2t + 1 (a0
// and a1 by row) and 2t + 8, 2t + 9 (a2 and a3); B [16, 8] in column g, rows likewise; D [16, 8] in
// rows g and g + 8, columns 2t, 2t + 1. PTX ISA, mma.m16n8k16.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
#define MMA(T, name)                                                                            \
  static __device__ __forceinline__ void mma(T, float *d, const u32 *a, const u32 *b) {         \
    asm("mma.sync.aligned.m16n8k16.row.col.f32." name "." name                                  \
        ".f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"                  \
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])                                        \
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));                    \
  }
MMA(bf16, "bf16")
MMA(f16, "f16")
#else
// The same with shuffles, for the host and for GPUs without these instructions.
template <class T>
static __device__ __noinline__ void mma(T, float *d, const u32 *a, const u32 *b) {
  int lane = threadIdx.x & 31, g = lane >> 2, t = lane & 3;
#pragma unroll 1
  for (int k = 0; k < 8; k++) {  // pairs of columns of A
    int i = k >> 2, from = k & 3;
    u32 upper = __shfl_sync(0xffffffffu, a[2 * i], 4 * g + from);
    u32 lower = __shfl_sync(0xffffffffu, a[2 * i + 1], 4 * g + from);
    u32 even = __shfl_sync(0xffffffffu, b[i], 8 * t + from);
    u32 odd = __shfl_sync(0xffffffffu, b[i], 8 * t + 4 + from);
    for (int half = 0; half < 32; half += 16) {
      float up = toFloat(T{(u16)(upper >> half)}), low = toFloat(T{(u16)(lower >> half)});
      float e = toFloat(T{(u16)(even >> half)}), o = toFloat(T{(u16)(odd >> half)});
      d[0] = fmaf(up, e, d[0]);
      d[1] = fmaf(up, o, d[1]);
      d[2] = fmaf(low, e, d[2]);
      d[3] = fmaf(low, o, d[3]);
    }
  }
}
#endif

// What a lane has under way of one chunk: codes and statistics of two rows of W.
struct Loads {
  Bits128 codes[2];
  Statistic4 statistics[2];
};

static __device__ __forceinline__ Loads loadChunk(const u8 *packed, Absmax4 absmax, int blockShift,
                                                  i64 row, i64 rows, i64 column, i64 columns) {
  Loads loads;
#pragma unroll
  for (int r = 0; r < 2; r++) {
    loads.codes[r] = Bits128{0, 0, 0, 0};
    loads.statistics[r] = Statistic4{0.0f, 0};
    i64 at = (row + 8 * r) * columns + column;
    if (row + 8 * r < rows && column < columns) {
      loads.codes[r] = load128Once(packed + at / 2);
      loads.statistics[r] = loadStatistic(absmax, at >> blockShift);
    }
  }
  return loads;
}

// A word of 8 codes as 4 words of two values each, scaled and rounded to T.
template <class T>
static __device__ __forceinline__ void decode(T, u32 word, float scale, const char *table, u32 copy,
                                              u32 *pairs) {
#pragma unroll
  for (int i = 0; i < 4; i++) {
    // byte i times the 128 bytes of a pair's copies
    u32 offset = i == 0 ? word << 7 : word >> (8 * i - 7);
    Pair pair = *(const Pair *)(table + ((offset & 0x7f80u) | copy));
    pairs[i] = pairBits(T{}, pair.high * scale, pair.low * scale);
  }
}

static __device__ __forceinline__ u32 wordOf(Bits128 v, int i) {
  return i == 0 ? v.x : i == 1 ? v.y : i == 2 ? v.z : v.w;
}

// Adds a chunk's products. x: this lane's row of x at its column, or null.
template <class T>
static __device__ __forceinline__ void addChunk(float *sums, const Loads &loads,
                                                const float *scales, const T *x,
                                                const char *table, u32 copy) {
#pragma unroll
  for (int w = 0; w < 4; w++) {
    Bits128 operand = x == nullptr ? Bits128{0, 0, 0, 0} : load128(x + 8 * w);
    u32 upper[4], lower[4];
    decode(T{}, wordOf(loads.codes[0], w), scales[0], table, copy, upper);
    decode(T{}, wordOf(loads.codes[1], w), scales[1], table, copy, lower);
#pragma unroll
    for (int i = 0; i < 4; i += 2) {
      // Which column is the operands' k-th does not matter, as long as it is so in both.
      u32 a[4] = {upper[i], lower[i], upper[i + 1], lower[i + 1]};
      u32 b[2] = {wordOf(operand, i), wordOf(operand, i + 1)};
      mma(T{}, sums, a, b);
    }
  }
}

// Any width, alignment and type: a warp a row of W at a time, of tileRows in the block; its lanes take
// the columns in turn.
template <class T>
static __device__ void productAny(T *y, i64 yStride, const T *x, i64 xStride, int batch,
                                  const u8 *packed, Absmax4 absmax, const float *map,
                                  const float *codes, int blockShift, i64 rows, i64 columns,
                                  int tileRows) {
  __shared__ float table[16];
  __shared__ float nestedMap[256];
  if (threadIdx.x < 16) table[threadIdx.x] = codes[threadIdx.x];
  if (absmax.absmax2 != nullptr) {
    for (int i = threadIdx.x; i < 256; i += blockDim.x) nestedMap[i] = __ldg(map + i);
  }
  __syncthreads();
  int lane = threadIdx.x & 31;
  i64 end = min(rows, ((i64)blockIdx.x + 1) * tileRows);
  for (i64 row = (i64)blockIdx.x * tileRows + (threadIdx.x >> 5); row < end;
       row += blockDim.x >> 5) {
    float sums[BATCH];
#pragma unroll
    for (int m = 0; m < BATCH; m++) sums[m] = 0.0f;
    for (i64 c = lane; c < columns; c += 32) {
      i64 at = row * columns + c;
      float scale = absmaxOf(absmax, loadStatistic(absmax, at >> blockShift), nestedMap);
      u32 code = __ldg(packed + at / 2) >> (at & 1 ? 0 : 4) & 15;
      float w = rounded<T>(table[code] * scale);
#pragma unroll
      for (int m = 0; m < BATCH; m++) {
        if (m < batch) sums[m] = fmaf(w, toFloat(x[m * xStride + c]), sums[m]);
      }
    }
#pragma unroll
    for (int m = 0; m < BATCH; m++) {
      float sum = warpSum(sums[m]);
      if (lane == 0 && m < batch) y[m * yStride + row] = fromFloat<T>(sum);
    }
  }
}

// columns a multiple of 32, rows of x multiples of 16 bytes apart.
template <class T>
static __device__ void product(T *y, i64 yStride, const T *x, i64 xStride, int batch,
                               const u8 *packed, Absmax4 absmax, const float *map,
                               const float *codes, int blockShift, i64 rows, i64 columns,
                               int tileRows) {
  if (!isAligned16(x) || !isAligned16(packed)) {  // a view that begins anywhere
    productAny(y, yStride, x, xStride, batch, packed, absmax, map, codes, blockShift, rows, columns,
               tileRows);
    return;
  }
  __shared__ Pair pairs[256 * COPIES];
  __shared__ float nestedMap[256];
  __shared__ float partial[MAX_WARPS][ROWS * BATCH];
  int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, warps = blockDim.x >> 5;
  int g = lane >> 2, t = lane & 3;
  i64 row = (i64)blockIdx.x * ROWS + g;  // and that + 8
  i64 step = (i64)warps * COLUMNS;
  i64 column = warp * COLUMNS + t * UNIT;
  Loads loads[2];
#pragma unroll
  for (int k = 0; k < 2; k++) {
    loads[k] = loadChunk(packed, absmax, blockShift, row, rows, column + k * step, columns);
  }

  for (int i = threadIdx.x; i < 256 * COPIES; i += blockDim.x) {
    pairs[i] = Pair{codes[i / COPIES >> 4], codes[i / COPIES & 15]};
  }
  if (absmax.absmax2 != nullptr) {
    for (int i = threadIdx.x; i < 256; i += blockDim.x) nestedMap[i] = __ldg(map + i);
  }
  __syncthreads();

  float sums[4] = {0.0f, 0.0f, 0.0f, 0.0f};
  u32 copy = (lane & (COPIES - 1)) * (u32)sizeof(Pair);
  const T *xRow = g < batch ? x + g * xStride : nullptr;
  for (i64 first = warp * COLUMNS; first < columns; first += 2 * step) {
#pragma unroll
    for (int k = 0; k < 2; k++) {
      if (first + k * step >= columns) break;  // the whole warp
      i64 c = first + k * step + t * UNIT;
      float scales[2] = {absmaxOf(absmax, loads[k].statistics[0], nestedMap),
                         absmaxOf(absmax, loads[k].statistics[1], nestedMap)};
      bool inside = xRow != nullptr && c < columns;
      addChunk<T>(sums, loads[k], scales, inside ? xRow + c : nullptr, (const char *)pairs, copy);
      loads[k] = loadChunk(packed, absmax, blockShift, row, rows, c + 2 * step, columns);
    }
  }

#pragma unroll
  for (int i = 0; i < 4; i++) {
    partial[warp][(g + 8 * (i >> 1)) * BATCH + 2 * t + (i & 1)] = sums[i];
  }
  __syncthreads();
  for (int i = threadIdx.x; i < ROWS * BATCH; i += blockDim.x) {
    i64 r = (i64)blockIdx.x * ROWS + i / BATCH;
    int m = i % BATCH;
    float sum = 0.0f;
    for (int w = 0; w < warps; w++) sum += partial[w][i];
    if (r < rows && m < batch) y[m * yStride + r] = fromFloat<T>(sum);
  }
}

#define PRODUCT(name, function, bounds, tileRows, suffix, T)                                      \
  extern "C" __global__ void __launch_bounds__ bounds name##_##suffix(                            \
      T *y, i64 yStride, const T *x, i64 xStride, int batch, const u8 *packed,                    \
      const void *absmax, const float *absmax2, const float *map, float offset, int type,         \
      int blockShift, i64 rows, i64 columns) {                                                    \
    function<T>(y, yStride, x, xStride, batch, packed, Absmax4{absmax, absmax2, offset}, map,     \
                CODES4 + 16 * type, blockShift, rows, columns, tileRows);                         \
  }
#define PRODUCT_ANY(suffix, T) PRODUCT(product4_any, productAny, (256), 8, suffix, T)
PRODUCT(product4, product, (512, 2), ROWS, bf16, bf16)
PRODUCT(product4, product, (512, 2), ROWS, f16, f16)
KERNELS(PRODUCT_ANY)
