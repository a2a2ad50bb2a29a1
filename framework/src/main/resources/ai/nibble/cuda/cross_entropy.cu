// Cross-entropy over rows of logits [rows, vocabulary]; its gradient takes their place. A block a
// row: one pass finds the greatest logit and the sum of exponentials together (online softmax,
// Milakov and Gimelshein 2018), a second one writes the gradient.

#define MINUS_INFINITY __uint_as_float(0xff800000u)

// The greatest of some logits, and their exponentials' sum relative to it. A NaN is in the sum.
struct Online {
  float max;
  float sum;
};

// What exponents are relative to; without any finite logit, nothing.
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

// What a row's gradient is made of.
struct RowGradient {
  float max;
  float logSum;
  int target;
  float scale;

  // Of logits [at, at + N), in their place.
  template <class T, int N>
  __device__ __forceinline__ void write(T *row, int at) const {
    float x[N];
    loadFloats(x, row + at);
#pragma unroll
    for (int e = 0; e < N; e++) {
      float p = expf(x[e] - max - logSum);
      if (at + e == target) p -= 1.0f;
      x[e] = p * scale;
    }
    storeFloats(row + at, x);
  }
};

template <class T>
static __device__ __forceinline__ void crossEntropy(float *losses, T *logits, const int *targets,
                                                    int width, float scale, int gradient) {
  T *row = logits + (i64)blockIdx.x * width;
  int target = targets[blockIdx.x];
  // Rows of odd widths begin anywhere: single elements up to the first address of 16 bytes.
  int misplaced = (int)(((u64)row & 15) / sizeof(T));
  int head = misplaced == 0 ? 0 : min(width, Vec<T>::size - misplaced);
  int tail = head + (width - head) / Vec<T>::size * Vec<T>::size;
  int step = blockDim.x * Vec<T>::size;

  Online seen = {MINUS_INFINITY, 0.0f};
#pragma unroll 4
  for (int c = head + threadIdx.x * Vec<T>::size; c < tail; c += step) {
    float x[Vec<T>::size];
    loadFloats(x, row + c);
    take(seen, x);
  }
  // Head and tail are fewer elements than a block has threads.
  int single = (int)threadIdx.x < head ? (int)threadIdx.x : tail + (int)threadIdx.x - head;
  if (single < width) {
    float x[1];
    loadFloats(x, row + single);
    take(seen, x);
  }
  // Targets come from the caller's data: one outside the row makes a NaN, not a stray access.
  bool inside = target >= 0 && target < width;
  float own = inside && threadIdx.x == 0 ? toFloat(row[target]) : __uint_as_float(0x7fc00000u);
  seen = blockJoined(seen);
  float logSum = logf(seen.sum);
  if (threadIdx.x == 0) losses[blockIdx.x] = logSum - (own - seen.max);
  if (!gradient) return;
  RowGradient result = {seen.max, logSum, target, scale};
#pragma unroll 2
  for (int c = head + threadIdx.x * Vec<T>::size; c < tail; c += step) {
    result.write<T, Vec<T>::size>(row, c);
  }
  if (single < width) result.write<T, 1>(row, single);
}

#define SUM_THREADS 256

// result += the sum of the values, by one block.
extern "C" __global__ void cross_entropy_sum(double *result, const float *values, i64 n) {
  __shared__ double parts[SUM_THREADS];
  double sum = 0.0;
  for (i64 i = threadIdx.x; i < n; i += SUM_THREADS) sum += (double)values[i];
  parts[threadIdx.x] = sum;
  for (int half = SUM_THREADS / 2; half > 0; half /= 2) {
    __syncthreads();
    if ((int)threadIdx.x < half) parts[threadIdx.x] += parts[threadIdx.x + half];
  }
  if (threadIdx.x == 0) *result += parts[0];
}

#define CROSS_ENTROPY(S, T)                                                                  \
  extern "C" __global__ void cross_entropy_##S(float *losses, T *logits, const int *targets, \
                                               int width, float scale, int gradient) {       \
    crossEntropy<T>(losses, logits, targets, width, scale, gradient);                        \
  }

KERNELS(CROSS_ENTROPY)
