// CUDA C for the host: what a kernel source takes for granted, so that g++ compiles it and its
// arithmetic can be tested on machines without a GPU. One block runs at a time, its threads as
// fibres of one host thread (host.cpp); everything is deterministic.
//
// The kernel source is compiled with -fsanitize=kernel-address,bounds,alignment,shift-exponent, whose
// hooks host.cpp defines: an access outside the tensors of the launch, a vector load from an address
// that is not aligned to it, a barrier that some threads miss, all end the launch with a message.
#pragma once
#include <climits>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
#define __constant__ static const
#define __shared__ static  // dynamic shared memory is rewritten before compilation: HostKernels
#ifndef __restrict__
#define __restrict__ __restrict
#endif

struct HostIndex {
  unsigned x, y, z;
};
extern HostIndex threadIdx, blockIdx, blockDim, gridDim;
static const int warpSize = 32;

enum HostExchange { HOST_SYNC, HOST_INDEX, HOST_UP, HOST_DOWN, HOST_XOR, HOST_BALLOT };
void hostBarrier(int line);
uint64_t hostExchange(HostExchange how, unsigned mask, uint64_t bits, int lane, int width, int line);
void *hostDynamicShared();

#define __syncthreads() hostBarrier(__LINE__)
#define __syncwarp(...) hostSyncWarp(__LINE__, ##__VA_ARGS__)
inline void hostSyncWarp(int line, unsigned mask = 0xffffffffu) {
  hostExchange(HOST_SYNC, mask, 0, 0, 32, line);
}

template <class T>
T hostShuffle(HostExchange how, unsigned mask, T value, int lane, int line, int width = 32) {
  static_assert(sizeof(T) == 4 || sizeof(T) == 8, "shuffles move 4 or 8 bytes");
  uint64_t bits = 0;
  memcpy(&bits, &value, sizeof(T));
  bits = hostExchange(how, mask, bits, lane, width, line);
  memcpy(&value, &bits, sizeof(T));
  return value;
}
#define __shfl_sync(mask, value, lane, ...) \
  hostShuffle(HOST_INDEX, mask, value, lane, __LINE__, ##__VA_ARGS__)
#define __shfl_up_sync(mask, value, delta, ...) \
  hostShuffle(HOST_UP, mask, value, delta, __LINE__, ##__VA_ARGS__)
#define __shfl_down_sync(mask, value, delta, ...) \
  hostShuffle(HOST_DOWN, mask, value, delta, __LINE__, ##__VA_ARGS__)
#define __shfl_xor_sync(mask, value, lanes, ...) \
  hostShuffle(HOST_XOR, mask, value, lanes, __LINE__, ##__VA_ARGS__)
#define __ballot_sync(mask, p) \
  (unsigned)hostExchange(HOST_BALLOT, mask, (p) ? 1 : 0, 0, 32, __LINE__)
#define __any_sync(mask, p) (__ballot_sync(mask, p) != 0)
#define __all_sync(mask, p) (__ballot_sync(mask, !(p)) == 0)

template <class T>
T __ldg(const T *p) {
  return *p;
}
inline void __threadfence() {}
inline int atomicAdd(int *p, int v) { return std::exchange(*p, *p + v); }
inline unsigned atomicAdd(unsigned *p, unsigned v) { return std::exchange(*p, *p + v); }
inline unsigned long long atomicAdd(unsigned long long *p, unsigned long long v) {
  return std::exchange(*p, *p + v);
}
inline int atomicMax(int *p, int v) { return std::exchange(*p, *p < v ? v : *p); }
inline unsigned atomicMax(unsigned *p, unsigned v) { return std::exchange(*p, *p < v ? v : *p); }
inline int atomicOr(int *p, int v) { return std::exchange(*p, *p | v); }

template <class To, class From>
To hostBits(From value) {
  static_assert(sizeof(To) == sizeof(From), "same size");
  To to;
  memcpy(&to, &value, sizeof to);
  return to;
}
inline int __float_as_int(float x) { return hostBits<int>(x); }
inline unsigned __float_as_uint(float x) { return hostBits<unsigned>(x); }
inline float __int_as_float(int x) { return hostBits<float>(x); }
inline float __uint_as_float(unsigned x) { return hostBits<float>(x); }
inline long long __double_as_longlong(double x) { return hostBits<long long>(x); }
inline double __longlong_as_double(long long x) { return hostBits<double>(x); }
inline int __float2int_rn(float x) { return (int)rintf(x); }
inline unsigned __float2uint_rn(float x) { return (unsigned)rintf(x); }
inline float __int2float_rn(int x) { return (float)x; }
inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
inline double rsqrt(double x) { return 1.0 / sqrt(x); }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __fsqrt_rn(float x) { return sqrtf(x); }
inline float __expf(float x) { return expf(x); }
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __clz(int x) { return x == 0 ? 32 : __builtin_clz((unsigned)x); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline unsigned __byte_perm(unsigned x, unsigned y, unsigned selector) {
  uint64_t bytes = (uint64_t)y << 32 | x;
  unsigned result = 0;
  for (int i = 0; i < 4; i++) {
    unsigned s = selector >> 4 * i;
    unsigned byte = bytes >> 8 * (s & 7) & 0xff;
    if (s & 8) byte = byte & 0x80 ? 0xff : 0;
    result |= byte << 8 * i;
  }
  return result;
}
#define HOST_MIN_MAX(T)                             \
  inline T min(T a, T b) { return b < a ? b : a; } \
  inline T max(T a, T b) { return a < b ? b : a; }
HOST_MIN_MAX(int)
HOST_MIN_MAX(unsigned)
HOST_MIN_MAX(long long)
HOST_MIN_MAX(unsigned long long)

// How a kernel is found by name and its untyped arguments, as the driver takes them, reach it.
struct HostKernel {
  const char *name;
  void (*call)(void **arguments);
  int arguments;
  const unsigned char *sizes;  // bytes of each argument
};
template <class F, F f>
struct HostEntry;
template <class... A, void (*f)(A...)>
struct HostEntry<void (*)(A...), f> {
  static constexpr unsigned char sizes[] = {sizeof(A)..., 0};
  template <size_t... I>
  __attribute__((no_sanitize_address))  // the arguments themselves are no tensor
  static void spread(void **arguments, std::index_sequence<I...>) {
    f(*(A *)arguments[I]...);
  }
  static void call(void **arguments) { spread(arguments, std::index_sequence_for<A...>()); }
  static constexpr HostKernel named(const char *name) {
    return {name, call, (int)sizeof...(A), sizes};
  }
};
#define HOST_KERNEL(f) HostEntry<decltype(&f), &f>::named(#f),
extern const HostKernel hostKernels[];  // ends with a null name
