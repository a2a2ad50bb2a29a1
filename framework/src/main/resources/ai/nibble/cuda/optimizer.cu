// The optimizer's passes over flat float32 buffers. Sums, the clipping factor and AdamW give the
// bits of optim/FlatFloats, optim/GradientNorm and optim/AdamWUpdate.

// into += from over n elements.
template <int N>
static __device__ __forceinline__ void addFlat(float *into, const float *from, i64 n) {
  i64 step = (i64)gridDim.x * blockDim.x * N;
  for (i64 i = ((i64)blockIdx.x * blockDim.x + threadIdx.x) * N; i < n; i += step) {
    float a[N];
    float b[N];
    loadFloats(a, into + i);
    loadFloats(b, from + i);
#pragma unroll
    for (int e = 0; e < N; e++) a[e] += b[e];
    storeFloats(into + i, a);
  }
}

extern "C" __global__ void optimizer_add(float *into, const float *from, i64 n) {
  i64 whole = isAligned16(into) && isAligned16(from) ? n / 4 * 4 : 0;
  addFlat<4>(into, from, whole);
  addFlat<1>(into + whole, from + whole, n - whole);
}

// Sums of squares as optim/FlatFloats makes them: ranges of RANGE elements, in each of which eight
// chains take every eighth element. A thread has a chain; partial [ranges, 8].
#define RANGE 65536
#define CHAINS 8

extern "C" __global__ void sum_of_squares_chains(double *partial, const float *values, i64 n) {
  i64 chain = (i64)blockIdx.x * blockDim.x + threadIdx.x;
  i64 range = chain / CHAINS;
  i64 begin = range * RANGE;
  if (begin >= n) return;
  i64 end = begin + RANGE < n ? begin + RANGE : n;
  double sum = 0.0;
  i64 i = begin + chain % CHAINS;
  for (; i + 15 * CHAINS < end; i += 16 * CHAINS) {
    float x[16];
#pragma unroll
    for (int k = 0; k < 16; k++) x[k] = values[i + k * CHAINS];
#pragma unroll
    for (int k = 0; k < 16; k++) sum += (double)x[k] * (double)x[k];
  }
  for (; i < end; i += CHAINS) sum += (double)values[i] * (double)values[i];
  partial[chain] = sum;
}

#define FINISH_THREADS 256

// Adds each range's chains in pairs, and the ranges in their order; one block.
extern "C" __global__ void sum_of_squares_finish(double *result, const double *partial,
                                                 i64 ranges) {
  __shared__ double sums[FINISH_THREADS];
  double total = 0.0;
  for (i64 first = 0; first < ranges; first += FINISH_THREADS) {
    i64 range = first + threadIdx.x;
    if (range < ranges) {
      const double *s = partial + range * CHAINS;
      sums[threadIdx.x] = ((s[0] + s[1]) + (s[2] + s[3])) + ((s[4] + s[5]) + (s[6] + s[7]));
    }
    __syncthreads();
    int count = (int)min(ranges - first, (i64)FINISH_THREADS);
    if (threadIdx.x == 0) {
      for (int k = 0; k < count; k++) total += sums[k];
    }
    __syncthreads();
  }
  if (threadIdx.x == 0) *result = total;
}

static __device__ __forceinline__ bool isFinite(double x) { return x - x == 0.0; }

// factor[0]: what gradients are multiplied by so that their norm is at most maxNorm, 1 where that
// is 0; factor[1]: 1 where norm and loss are finite, else 0. One thread.
extern "C" __global__ void clip_factor(float *factor, const double *sumOfSquares,
                                       const double *loss, float maxNorm) {
  double norm = sqrt(*sumOfSquares);
  float clip = 1.0f / ((float)norm + 1e-6f) * maxNorm;
  factor[0] = maxNorm == 0.0f || clip > 1.0f ? 1.0f : clip;
  factor[1] = isFinite(norm) && (loss == 0 || isFinite(*loss)) ? 1.0f : 0.0f;
}

template <int N>
static __device__ __forceinline__ void adamWFlat(float *param, const float *grad, float *expAvg,
                                                 float *expAvgSq, i64 n, float scale,
                                                 AdamW constants) {
  i64 step = (i64)gridDim.x * blockDim.x * N;
  for (i64 i = ((i64)blockIdx.x * blockDim.x + threadIdx.x) * N; i < n; i += step) {
    float p[N];
    float g[N];
    float m[N];
    float v[N];
    loadFloats(p, param + i);
    loadFloats(g, grad + i);
    loadFloats(m, expAvg + i);
    loadFloats(v, expAvgSq + i);
#pragma unroll
    for (int e = 0; e < N; e++) constants.update(p[e], g[e] * scale, m[e], v[e]);
    storeFloats(param + i, p);
    storeFloats(expAvg + i, m);
    storeFloats(expAvgSq + i, v);
  }
}

extern "C" __global__ void adamw(float *param, const float *grad, float *expAvg, float *expAvgSq,
                                 const float *factor, i64 n, float decay, float weight1,
                                 float beta2, float weight2, float correction2, float eps,
                                 float negativeStepSize) {
  if (factor[1] == 0.0f) return;
  AdamW constants = {decay, weight1, beta2, weight2, correction2, eps, negativeStepSize};
  bool aligned =
      isAligned16(param) && isAligned16(grad) && isAligned16(expAvg) && isAligned16(expAvgSq);
  i64 whole = aligned ? n / 4 * 4 : 0;
  adamWFlat<4>(param, grad, expAvg, expAvgSq, whole, factor[0], constants);
  adamWFlat<1>(param + whole, grad + whole, expAvg + whole, expAvgSq + whole, n - whole, factor[0],
               constants);
}
