// Mixtures of experts: which experts a router's probabilities choose, tokens brought to them and back,
// and the gradients. A pair is a token and one of its experts, k a token in ascending order of the
// experts; rows stand expert by expert. After rows.cuh.

// Whether expert a comes before b: the higher probability, of equal ones the first.
static __device__ __forceinline__ bool precedes(const float *p, int a, int b) {
  return p[a] > p[b] || (!(p[b] > p[a]) && a < b);
}

static __device__ __forceinline__ float divisorOf(const float *p, const int *chosen, int perToken,
                                                  int sumToOne) {
  if (!sumToOne) return 1.0f;
  float sum = 0.0f;
  for (int j = 0; j < perToken; j++) sum += p[chosen[j]];
  return sum;
}

// A warp a token: p [tokens, count] to the k experts of the highest, and their weights.
extern "C" __global__ void experts_choose(int *experts, float *weights, const float *probabilities,
                                          i64 tokens, int count, int perToken, int sumToOne) {
  i64 token = rowOfThread(32);
  if (token >= tokens) return;
  const float *p = probabilities + token * count;
  int *chosen = experts + token * perToken;
  int lane = laneOfThread(32);
  int taken = 0;
  for (int first = 0; first < count; first += 32) {
    int e = first + lane;
    int before = 0;
    if (e < count) {
      for (int other = 0; other < count; other++) {
        if (other != e && precedes(p, other, e)) before++;
      }
    }
    bool mine = e < count && before < perToken;
    u32 all = __ballot_sync(0xffffffffu, mine);
    int place = taken + __popc(all & ((1u << lane) - 1));
    // probabilities that are no numbers may not be in order
    if (mine && place < perToken) chosen[place] = e;
    taken += __popc(all);
  }
  __syncwarp(0xffffffffu);
  for (int j = taken + lane; j < perToken; j += 32) chosen[j] = 0;
  __syncwarp(0xffffffffu);
  float divisor = divisorOf(p, chosen, perToken, sumToOne);
  for (int j = lane; j < perToken; j += 32) {
    weights[token * perToken + j] = p[chosen[j]] / divisor;
  }
}

// With p the probabilities, S a token's divisor, w its weights: dp = (dw - sum w dw) / S of the
// chosen, or dw without a divisor; dl = p (dp - sum p dp) of all. A warp a token.
extern "C" __global__ void experts_choose_backward(float *dLogits, const float *dWeights,
                                                   const int *experts, const float *probabilities,
                                                   i64 tokens, int count, int perToken,
                                                   int sumToOne) {
  i64 token = rowOfThread(32);
  if (token >= tokens) return;
  const float *p = probabilities + token * count;
  const int *chosen = experts + token * perToken;
  const float *dw = dWeights + token * perToken;
  float *dl = dLogits + token * count;
  int lane = laneOfThread(32);
  float divisor = divisorOf(p, chosen, perToken, sumToOne);
  float inner = 0.0f;
  for (int j = 0; j < perToken && sumToOne; j++) inner += dw[j] * p[chosen[j]] / divisor;
  float sum = 0.0f;
  for (int j = 0; j < perToken; j++) sum += p[chosen[j]] * ((dw[j] - inner) / divisor);
  for (int e = lane; e < count; e += 32) dl[e] = p[e] * (0.0f - sum);
  __syncwarp(0xffffffffu);
  for (int j = lane; j < perToken; j += 32) {
    dl[chosen[j]] = p[chosen[j]] * ((dw[j] - inner) / divisor - sum);
  }
}

// out [rows, width]: the row of x of each row's token.
template <class T, int N>
static __device__ __forceinline__ void gatherRow(T *out, const T *from, int width) {
  int step = gridDim.y * blockDim.x * N;
  for (int c = (blockIdx.y * blockDim.x + threadIdx.x) * N; c < width; c += step) {
    storePiece<T, N>(out + c, loadPiece<T, N>(from + c));
  }
}

template <class T>
static __device__ __forceinline__ void gather(T *out, const T *x, const int *tokens, int width) {
  T *to = out + (i64)blockIdx.x * width;
  const T *from = x + (i64)tokens[blockIdx.x] * width;
  if (width % Vec<T>::size == 0 && isAligned16(out) && isAligned16(x)) {
    gatherRow<T, Vec<T>::size>(to, from, width);
  } else {
    gatherRow<T, 1>(to, from, width);
  }
}

// out [tokens, width]: the sum over a token's pairs of weight times row, in their order, each product
// rounded to float32, then what was there before.
template <class T, int N>
static __device__ __forceinline__ void sumToken(T *out, const T *rows, const float *weights,
                                                const int *rowOf, const T *prior, int perToken,
                                                int width) {
  int step = gridDim.y * blockDim.x * N;
  for (int c = (blockIdx.y * blockDim.x + threadIdx.x) * N; c < width; c += step) {
    float sum[N];
#pragma unroll
    for (int e = 0; e < N; e++) sum[e] = 0.0f;
    for (int j = 0; j < perToken; j++) {
      float row[N];
      float weight = weights == nullptr ? 1.0f : weights[j];
      loadFloats(row, rows + (i64)rowOf[j] * width + c);
#pragma unroll
      for (int e = 0; e < N; e++) sum[e] += weight * row[e];
    }
    if (prior != nullptr) {
      float before[N];
      loadFloats(before, prior + c);
#pragma unroll
      for (int e = 0; e < N; e++) sum[e] += before[e];
    }
    storeFloats(out + c, sum);
  }
}

template <class T>
static __device__ __forceinline__ void sumTokens(T *out, const T *rows, const float *weights,
                                                 const int *rowOf, const T *prior, int perToken,
                                                 int width) {
  i64 token = blockIdx.x;
  const float *own = weights == nullptr ? weights : weights + token * perToken;
  const T *before = prior == nullptr ? prior : prior + token * width;
  T *to = out + token * width;
  if (width % Vec<T>::size == 0 && isAligned16(out) && isAligned16(rows) && isAligned16(prior)) {
    sumToken<T, Vec<T>::size>(to, rows, own, rowOf + token * perToken, before, perToken, width);
  } else {
    sumToken<T, 1>(to, rows, own, rowOf + token * perToken, before, perToken, width);
  }
}

// Of one row: dy = weight dz, and its weight's gradient, the product of dz and y. A block a row.
template <class T, int N>
static __device__ __forceinline__ void weighRow(T *dy, float *dw, const T *dz, const T *y,
                                                float weight, int width) {
  __shared__ float parts[32];
  float sum = 0.0f;
  for (int c = threadIdx.x * N; c < width; c += blockDim.x * N) {
    float g[N];
    float v[N];
    loadFloats(g, dz + c);
    loadFloats(v, y + c);
#pragma unroll
    for (int e = 0; e < N; e++) {
      sum = fmaf(g[e], v[e], sum);
      g[e] *= weight;
    }
    storeFloats(dy + c, g);
  }
  sum = blockSum(sum, parts);
  if (threadIdx.x == 0) *dw = sum;
}

template <class T>
static __device__ __forceinline__ void weigh(T *dy, float *dWeights, const T *dz, const T *y,
                                             const float *weights, const int *tokens,
                                             const int *pairs, int width) {
  i64 at = (i64)blockIdx.x * width;
  int pair = pairs[blockIdx.x];
  const T *from = dz + (i64)tokens[blockIdx.x] * width;
  float weight = weights[pair];
  if (width % Vec<T>::size == 0 && isAligned16(dy) && isAligned16(dz) && isAligned16(y)) {
    weighRow<T, Vec<T>::size>(dy + at, dWeights + pair, from, y + at, weight, width);
  } else {
    weighRow<T, 1>(dy + at, dWeights + pair, from, y + at, weight, width);
  }
}

#define EXPERTS(S, T)                                                                             \
  extern "C" __global__ void experts_gather_##S(T *out, const T *x, const int *tokens,            \
                                                int width) {                                      \
    gather<T>(out, x, tokens, width);                                                             \
  }                                                                                               \
  extern "C" __global__ void experts_sum_##S(T *out, const T *rows, const float *weights,         \
                                             const int *rowOf, const T *prior, int perToken,      \
                                             int width) {                                         \
    sumTokens<T>(out, rows, weights, rowOf, prior, perToken, width);                              \
  }                                                                                               \
  extern "C" __global__ void experts_weigh_##S(T *dy, float *dWeights, const T *dz, const T *y,   \
                                               const float *weights, const int *tokens,           \
                                               const int *pairs, int width) {                     \
    weigh<T>(dy, dWeights, dz, y, weights, tokens, pairs, width);                                 \
  }

KERNELS(EXPERTS)
