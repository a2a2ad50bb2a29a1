// What all kernels share: fixed types, bfloat16 and float16, accesses of 16 bytes, reductions. Comes
// first in every program and includes nothing: NVRTC compiles it as it is, with --fmad=false.
//
// Kernels are templates over the element type T (float, bf16 or f16); KERNELS, below, gives each its
// names with the suffixes _f32, _bf16 and _f16. Arithmetic is float32.

typedef unsigned char u8;
typedef signed char i8;
typedef unsigned short u16;
typedef int i32;
typedef unsigned int u32;
typedef long long i64;
typedef unsigned long long u64;

#ifndef INFINITY
#define INFINITY __int_as_float(0x7f800000)
#endif

struct bf16 {
  u16 bits;
};
struct f16 {
  u16 bits;
};

// ---- Conversions. Rounding is to nearest even, overflow gives infinity, subnormals are kept, and a
// NaN stays one (its payload may differ between GPU and host).

static __device__ __forceinline__ float toFloat(float x) { return x; }

static __device__ __forceinline__ float toFloat(bf16 x) {
  return __uint_as_float((u32)x.bits << 16);
}

static __device__ __forceinline__ float toFloat(f16 x) {
#ifdef __CUDA_ARCH__
  float y;
  asm("cvt.f32.f16 %0, %1;" : "=f"(y) : "h"(x.bits));
  return y;
#else
  // The fields shifted into place are a number 2^112 too small; one exact product mends it.
  u32 magnitude = (x.bits & 0x7fffu) << 13;
  u32 widened = magnitude >= 0x7c00u << 13
                    ? magnitude | 0x7f800000u
                    : __float_as_uint(__uint_as_float(magnitude) * 0x1p112f);
  return __uint_as_float(widened | (x.bits & 0x8000u) << 16);
#endif
}

static __device__ __forceinline__ u32 bf16Bits(float x) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  // of a pair: for one alone sm_90 takes a quarter of the units (F2F instead of F2FP)
  u32 y;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(y) : "f"(0.0f), "f"(x));
  return y;
#else
  u32 bits = __float_as_uint(x);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return 0x7fc0u;
  return (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
#endif
}

static __device__ __forceinline__ u32 f16Bits(float x) {
#ifdef __CUDA_ARCH__
  u16 y;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(y) : "f"(x));
  return y;
#else
  u32 bits = __float_as_uint(x);
  u32 sign = bits >> 16 & 0x8000u;
  u32 magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return sign | 0x7e00u;
  if (magnitude >= 0x477ff000u) return sign | 0x7c00u;  // from 65520 on
  if (magnitude < 0x38800000u) {  // subnormal: let the sum with 0.5 round in units of 2^-24
    return sign | (__float_as_uint(__uint_as_float(magnitude) + 0.5f) - 0x3f000000u);
  }
  u32 rounded = magnitude + 0xfffu + (magnitude >> 13 & 1u);
  return sign | (rounded - (112u << 23)) >> 13;
#endif
}

template <class T>
__device__ T fromFloat(float x);
template <>
__device__ __forceinline__ float fromFloat<float>(float x) {
  return x;
}
template <>
__device__ __forceinline__ bf16 fromFloat<bf16>(float x) {
  return bf16{(u16)bf16Bits(x)};
}
template <>
__device__ __forceinline__ f16 fromFloat<f16>(float x) {
  return f16{(u16)f16Bits(x)};
}

// The value rounded to T, as float32.
template <class T>
static __device__ __forceinline__ float rounded(float x) {
  return toFloat(fromFloat<T>(x));
}

// Two values as one word, the first in its lower half.
static __device__ __forceinline__ u32 pairBits(bf16, float low, float high) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  u32 y;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(y) : "f"(high), "f"(low));
  return y;
#else
  return bf16Bits(high) << 16 | bf16Bits(low);
#endif
}
static __device__ __forceinline__ u32 pairBits(f16, float low, float high) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  u32 y;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(y) : "f"(high), "f"(low));
  return y;
#else
  return f16Bits(high) << 16 | f16Bits(low);
#endif
}

// ---- Sixteen bytes at a time: 4 float, or 8 bf16 or f16.

struct __align__(16) Bits128 {
  u32 x, y, z, w;
};

template <class T>
struct Vec {
  static const int size = 16 / sizeof(T);
};

static __device__ __forceinline__ bool isAligned16(const void *p) { return ((u64)p & 15) == 0; }

static __device__ __forceinline__ Bits128 load128(const void *p) { return *(const Bits128 *)p; }

static __device__ __forceinline__ void store128(void *p, Bits128 v) { *(Bits128 *)p = v; }

// Of memory that nothing writes while the kernel runs: such a load may go ahead of stores.
static __device__ __forceinline__ Bits128 load128Fixed(const void *p) {
#ifdef __CUDA_ARCH__
  Bits128 v;
  asm("ld.global.nc.v4.u32 {%0, %1, %2, %3}, [%4];"
      : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
      : "l"(p));
  return v;
#else
  return load128(p);
#endif
}

// Of memory that nothing writes while the kernel runs, and that is read once: it takes the read-only
// path and does not displace what is in the first-level cache.
static __device__ __forceinline__ Bits128 load128Once(const void *p) {
#ifdef __CUDA_ARCH__
  Bits128 v;
#if __CUDA_ARCH__ >= 700
  asm("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
#else
  asm("ld.global.nc.v4.u32 {%0, %1, %2, %3}, [%4];"
#endif
      : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
      : "l"(p));
  return v;
#else
  return load128(p);
#endif
}

static __device__ __forceinline__ void unpack(float, Bits128 v, float *out) {
  out[0] = __uint_as_float(v.x);
  out[1] = __uint_as_float(v.y);
  out[2] = __uint_as_float(v.z);
  out[3] = __uint_as_float(v.w);
}

template <class T>
static __device__ __forceinline__ void unpack(T, Bits128 v, float *out) {
  u32 words[4] = {v.x, v.y, v.z, v.w};
#pragma unroll
  for (int i = 0; i < 4; i++) {
    out[2 * i] = toFloat(T{(u16)words[i]});
    out[2 * i + 1] = toFloat(T{(u16)(words[i] >> 16)});
  }
}

static __device__ __forceinline__ Bits128 pack(float, const float *in) {
  return Bits128{__float_as_uint(in[0]), __float_as_uint(in[1]), __float_as_uint(in[2]),
                 __float_as_uint(in[3])};
}

template <class T>
static __device__ __forceinline__ Bits128 pack(T, const float *in) {
  return Bits128{pairBits(T{}, in[0], in[1]), pairBits(T{}, in[2], in[3]),
                 pairBits(T{}, in[4], in[5]), pairBits(T{}, in[6], in[7])};
}

// Vec<T>::size elements from an address that is a multiple of 16.
template <class T>
static __device__ __forceinline__ void loadVec(const T *p, float *out) {
  unpack(T{}, load128(p), out);
}

template <class T>
static __device__ __forceinline__ void storeVec(T *p, const float *in) {
  store128(p, pack(T{}, in));
}

// ---- Reductions, in an order that depends on the number of threads alone. All lanes take part, and
// all receive the result; blocks have a multiple of 32 threads.

static __device__ __forceinline__ float warpSum(float x) {
#pragma unroll
  for (int lanes = 16; lanes > 0; lanes >>= 1) x += __shfl_xor_sync(0xffffffffu, x, lanes);
  return x;
}

static __device__ __forceinline__ float warpMax(float x) {
#pragma unroll
  for (int lanes = 16; lanes > 0; lanes >>= 1) {
    x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, lanes));
  }
  return x;
}

// scratch: 32 floats of shared memory, free again when this returns.
static __device__ __forceinline__ float blockSum(float x, float *scratch) {
  int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, warps = blockDim.x >> 5;
  x = warpSum(x);
  if (lane == 0) scratch[warp] = x;
  __syncthreads();
  x = warpSum(lane < warps ? scratch[lane] : 0.0f);
  __syncthreads();
  return x;
}

// Of values from least on.
static __device__ __forceinline__ float blockMax(float x, float least, float *scratch) {
  int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, warps = blockDim.x >> 5;
  x = warpMax(x);
  if (lane == 0) scratch[warp] = x;
  __syncthreads();
  x = warpMax(lane < warps ? scratch[lane] : least);
  __syncthreads();
  return x;
}

// ---- Names. KERNELS(K) expands K(f32, float), K(bf16, bf16), K(f16, f16).
#define KERNELS(K) K(f32, float) K(bf16, bf16) K(f16, f16)
