// The greatest of some numbers and the sum of their exponentials, found together in one pass (online
// softmax, Milakov and Gimelshein 2018); after rows.cuh.

#define MINUS_INFINITY __uint_as_float(0xff800000u)

// The greatest of some numbers, and their exponentials' sum relative to it. A NaN is in the sum.
struct Online {
  float max;
  float sum;
};

// What exponents are relative to; without any finite number, nothing.
static __device__ __forceinline__ float baseOf(float max) {
  return max == MINUS_INFINITY ? 0.0f : max;
}

// Of both, the same bits in either order.
static __device__ __forceinline__ Online joined(Online a, Online b) {
  float max = fmaxf(a.max, b.max);
  float base = baseOf(max);
  return {max, a.sum * expf(a.max - base) + b.sum * expf(b.max - base)};
}

template <int N>
static __device__ __forceinline__ void take(Online &seen, const float (&x)[N]) {
  float max = x[0];
#pragma unroll
  for (int e = 1; e < N; e++) max = fmaxf(max, x[e]);
  max = fmaxf(seen.max, max);
  float base = baseOf(max);
  float sum = 0.0f;
#pragma unroll
  for (int e = 0; e < N; e++) sum += expf(x[e] - base);
  if (max != seen.max) seen.sum *= expf(seen.max - base);
  seen.max = max;
  seen.sum += sum;
}

static __device__ __forceinline__ Online warpJoined(Online seen) {
#pragma unroll
  for (int lanes = 16; lanes > 0; lanes >>= 1) {
    float max = __shfl_xor_sync(0xffffffffu, seen.max, lanes);
    float sum = __shfl_xor_sync(0xffffffffu, seen.sum, lanes);
    seen = joined(seen, Online{max, sum});
  }
  return seen;
}

// Of all threads of a block; at its barriers every thread has read what it needs of the row.
static __device__ __forceinline__ Online blockJoined(Online seen) {
  __shared__ Online parts[32];
  int lane = threadIdx.x & 31;
  seen = warpJoined(seen);
  if (lane == 0) parts[threadIdx.x >> 5] = seen;
  __syncthreads();
  int warps = blockDim.x >> 5;
  return warpJoined(lane < warps ? parts[lane] : Online{MINUS_INFINITY, 0.0f});
}
