// Cross-entropy over rows of logits [rows, vocabulary]; its gradient takes their place. A block a
// row: one pass finds the greatest logit and the sum of exponentials (online.cuh), a second one writes
// the gradient.

// What is made of logits: nothing, or cap*tanh(l/cap).
struct Plain {
  template <int N>
  __device__ __forceinline__ void apply(float (&)[N]) const {}
  template <int N>
  __device__ __forceinline__ void apply(float (&)[N], float (&slope)[N]) const {
#pragma unroll
    for (int e = 0; e < N; e++) slope[e] = 1.0f;
  }
};
struct Capped {
  float cap;
  float inverse;

  template <int N>
  __device__ __forceinline__ void apply(float (&x)[N]) const {
#pragma unroll
    for (int e = 0; e < N; e++) x[e] = tanhf(x[e] * inverse) * cap;
  }
  // The slope is 1 - tanh^2.
  template <int N>
  __device__ __forceinline__ void apply(float (&x)[N], float (&slope)[N]) const {
#pragma unroll
    for (int e = 0; e < N; e++) {
      float t = tanhf(x[e] * inverse);
      slope[e] = 1.0f - t * t;
      x[e] = t * cap;
    }
  }
};

// What a row's gradient is made of.
struct RowGradient {
  float max;
  float logSum;
  int target;
  float scale;

  // Of logits [at, at + N), in their place.
  template <class T, int N, class Form>
  __device__ __forceinline__ void write(T *row, int at, Form form) const {
    float x[N];
    float slope[N];
    loadFloats(x, row + at);
    form.apply(x, slope);
#pragma unroll
    for (int e = 0; e < N; e++) {
      float p = expf(x[e] - max - logSum);
      if (at + e == target) p -= 1.0f;
      x[e] = p * scale * slope[e];
    }
    storeFloats(row + at, x);
  }
};

template <class T, class Form>
static __device__ __forceinline__ void crossEntropy(float *losses, T *logits, const int *targets,
                                                    int width, float scale, int gradient,
                                                    Form form) {
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
    form.apply(x);
    take(seen, x);
  }
  // Head and tail are fewer elements than a block has threads.
  int single = (int)threadIdx.x < head ? (int)threadIdx.x : tail + (int)threadIdx.x - head;
  if (single < width) {
    float x[1];
    loadFloats(x, row + single);
    form.apply(x);
    take(seen, x);
  }
  // Targets come from the caller's data: one outside the row makes a NaN, not a stray access.
  bool inside = target >= 0 && target < width;
  float own[1] = {inside && threadIdx.x == 0 ? toFloat(row[target]) : __uint_as_float(0x7fc00000u)};
  form.apply(own);
  seen = blockJoined(seen);
  float logSum = logf(seen.sum);
  if (threadIdx.x == 0) losses[blockIdx.x] = logSum - (own[0] - seen.max);
  if (!gradient) return;
  RowGradient result = {seen.max, logSum, target, scale};
#pragma unroll 2
  for (int c = head + threadIdx.x * Vec<T>::size; c < tail; c += step) {
    result.write<T, Vec<T>::size>(row, c, form);
  }
  if (single < width) result.write<T, 1>(row, single, form);
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

#define CROSS_ENTROPY(S, T)                                                                     \
  extern "C" __global__ void cross_entropy_##S(float *losses, T *logits, const int *targets,    \
                                               int width, float scale, int gradient) {          \
    crossEntropy<T>(losses, logits, targets, width, scale, gradient, Plain{});                  \
  }                                                                                             \
  extern "C" __global__ void capped_cross_entropy_##S(float *losses, T *logits,                 \
                                                      const int *targets, int width,            \
                                                      float scale, int gradient, float cap,     \
                                                      float inverse) {                          \
    crossEntropy<T>(losses, logits, targets, width, scale, gradient, Capped{cap, inverse});     \
  }

KERNELS(CROSS_ENTROPY)
