// Weights in integer codes to T: (code - zero) * scale in float32, rounded to nearest even. A block of
// columns shares scale and zero in each row. A block of threads has a part of a row; after rows.cuh.

struct Scales {
  const float *scales;
  const u8 *zeros;  // null where all are `zero`
  int zero;

  __device__ __forceinline__ float valueOf(u32 code, i64 block) const {
    int from = zeros == nullptr ? zero : (int)zeros[block];
    return (float)((int)code - from) * scales[block];
  }
};

// What a row's columns are read by, N at a time, N a divisor of the columns where it is more than 1.

// Codes of 4 bits, element 2k of the weight in the high nibble of byte k. Columns are held in an order
// in which those of a block follow each other: `places` says where each is, or is null.
struct Codes4 {
  const u8 *packed;
  Scales scales;
  const int *places;
  int blockShift;

  __device__ __forceinline__ bool onWords() const { return places == nullptr && ((u64)packed & 3) == 0; }

  // first a multiple of 4, and no block ends inside
  template <int N>
  __device__ __forceinline__ void loadWords(float (&to)[N], i64 row, int columns, int first) const {
    i64 at = row * columns + first;
    u32 word = N == 8 ? __ldg((const u32 *)(packed + at / 2)) : __ldg((const u16 *)(packed + at / 2));
#pragma unroll
    for (int e = 0; e < N; e++) {
      to[e] = scales.valueOf(word >> (e ^ 1) * 4 & 15, at >> blockShift);  // high nibble first
    }
  }

  template <int N>
  __device__ __forceinline__ void load(float (&to)[N], i64 row, int columns, int first) const {
#pragma unroll
    for (int e = 0; e < N; e++) {
      i64 at = row * columns + (places == nullptr ? first + e : places[first + e]);
      to[e] = scales.valueOf(__ldg(packed + at / 2) >> (at & 1 ? 0 : 4) & 15, at >> blockShift);
    }
  }
};

// Codes of 8 bits, columns in their own order; groups[c] is the group of a column.
struct Codes8 {
  const u8 *codes;
  Scales scales;
  const int *groups;
  int count;  // of groups in a row

  __device__ __forceinline__ bool onWords() const { return ((u64)codes & 3) == 0; }

  template <int N>
  __device__ __forceinline__ void loadWords(float (&to)[N], i64 row, int columns, int first) const {
    const u32 *words = (const u32 *)(codes + row * columns + first);
#pragma unroll
    for (int w = 0; w < N / 4; w++) {
      u32 word = __ldg(words + w);
#pragma unroll
      for (int e = 0; e < 4; e++) {
        to[4 * w + e] = scales.valueOf(word >> 8 * e & 255, row * count + groups[first + 4 * w + e]);
      }
    }
  }

  template <int N>
  __device__ __forceinline__ void load(float (&to)[N], i64 row, int columns, int first) const {
#pragma unroll
    for (int e = 0; e < N; e++) {
      to[e] = scales.valueOf(codes[row * columns + first + e], row * count + groups[first + e]);
    }
  }
};

template <class T, int N, bool WORDS, class Codes>
static __device__ __forceinline__ void dequantizeRow(T *to, Codes codes, i64 row, int columns) {
  for (int c = (blockIdx.y * blockDim.x + threadIdx.x) * N; c < columns;
       c += gridDim.y * blockDim.x * N) {
    float values[N];
    if (WORDS) {
      codes.loadWords(values, row, columns, c);
    } else {
      codes.load(values, row, columns, c);
    }
    storeFloats(to + c, values);
  }
}

// Rows of out are `stride` elements apart.
template <class T, class Codes>
static __device__ __forceinline__ void dequantize(T *out, i64 stride, Codes codes, int columns) {
  const int V = Vec<T>::size;
  i64 row = blockIdx.x;
  T *to = out + row * stride;
  bool aligned = columns % V == 0 && stride % V == 0 && isAligned16(out);
  if (aligned && codes.onWords()) {
    dequantizeRow<T, V, true>(to, codes, row, columns);
  } else if (aligned) {
    dequantizeRow<T, V, false>(to, codes, row, columns);
  } else {
    dequantizeRow<T, 1, false>(to, codes, row, columns);
  }
}

#define GROUPED(S, T)                                                                             \
  extern "C" __global__ void grouped4_##S(T *out, i64 stride, const u8 *packed,                   \
                                          const float *scales, const u8 *zeros, int zero,         \
                                          const int *places, int blockShift, int columns) {       \
    dequantize<T>(out, stride, Codes4{packed, Scales{scales, zeros, zero}, places, blockShift},   \
                  columns);                                                                       \
  }                                                                                               \
  extern "C" __global__ void grouped8_##S(T *out, i64 stride, const u8 *codes,                    \
                                          const float *scales, const u8 *zeros,                   \
                                          const int *groups, int count, int columns) {            \
    dequantize<T>(out, stride, Codes8{codes, Scales{scales, zeros, 0}, groups, count}, columns);  \
  }

KERNELS(GROUPED)
