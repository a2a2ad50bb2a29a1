// From products of queries and keys to probabilities and back, for attention by batched products: a
// row has a query of one head and all keys of its block, of which it sees some. After online.cuh.
//
// Rows [keyHeads, tokens * group, keys] of a block of tokens: row t * group + g of a key head is of
// token t. A query sees the keys of its own sequence up to itself, the last query the last key, and
// with a window the last of these.

struct Sequences {
  const int *queries;  // first query of each sequence, then their number
  const int *keys;     // the same of keys
  int count;
  int window;  // 0: none
};

struct Block {
  int group;     // queries of a key head that a token has
  int tokens;    // of all blocks
  int firstToken;
  int firstKey;
  int keys;
};

// What products become: scale x, with a cap cap*tanh(scale x / cap).
struct Form {
  float scale;
  float cap;  // 0: none

  __device__ __forceinline__ float of(float product) const {
    float score = product * scale;
    return cap == 0.0f ? score : tanhf(score / cap) * cap;
  }
  // The same, and its slope by the scaled product.
  __device__ __forceinline__ float of(float product, float &slope) const {
    float score = product * scale;
    slope = 1.0f;
    if (cap == 0.0f) return score;
    float t = tanhf(score / cap);
    slope = 1.0f - t * t;
    return t * cap;
  }
};

// The keys that this block's row sees, [first, end) of those of its block.
struct Seen {
  int first;
  int end;

  __device__ __forceinline__ Seen(Sequences all, Block block) {
    int token = block.firstToken + (int)blockIdx.x / block.group;
    int low = 0;
    int high = all.count;  // the sequence is in [low, high)
    while (high - low > 1) {
      int middle = (low + high) / 2;
      if (all.queries[middle] <= token) {
        low = middle;
      } else {
        high = middle;
      }
    }
    int last = all.keys[low + 1] - (all.queries[low + 1] - token);
    int begin = all.keys[low];
    if (all.window > 0) begin = max(begin, last + 1 - all.window);
    first = begin - block.firstKey;
    end = last + 1 - block.firstKey;
  }

  __device__ __forceinline__ bool has(int key) const { return key >= first && key < end; }
};

// Where a row's statistics are, [keyHeads, tokens * group, 2].
static __device__ __forceinline__ i64 statisticsOf(Block block) {
  i64 row = (i64)block.firstToken * block.group + blockIdx.x;
  return 2 * ((i64)blockIdx.y * block.tokens * block.group + row);
}

static __device__ __forceinline__ i64 rowOf(Block block) {
  return ((i64)blockIdx.y * gridDim.x + blockIdx.x) * block.keys;
}

template <class T, int N>
static __device__ __forceinline__ void forwardRow(T *row, float *statistics, Seen seen, Block block,
                                                  Form form) {
  int step = blockDim.x * N;
  Online all = {MINUS_INFINITY, 0.0f};
  for (int c = threadIdx.x * N; c < block.keys; c += step) {
    float x[N];
    loadFloats(x, row + c);
#pragma unroll
    for (int e = 0; e < N; e++) x[e] = seen.has(c + e) ? form.of(x[e]) : MINUS_INFINITY;
    take(all, x);
  }
  all = blockJoined(all);
  float logSum = logf(all.sum);
  for (int c = threadIdx.x * N; c < block.keys; c += step) {
    float x[N];
    loadFloats(x, row + c);
#pragma unroll
    for (int e = 0; e < N; e++) {
      x[e] = seen.has(c + e) ? expf(form.of(x[e]) - all.max - logSum) : 0.0f;
    }
    storeFloats(row + c, x);
  }
  if (threadIdx.x == 0) {
    statistics[0] = all.max;
    statistics[1] = logSum;
  }
}

template <class T>
static __device__ __forceinline__ void forward(T *scores, float *statistics, Sequences sequences,
                                               Block block, Form form) {
  Seen seen(sequences, block);
  T *row = scores + rowOf(block);
  float *own = statistics + statisticsOf(block);
  if (block.keys % Vec<T>::size == 0 && isAligned16(scores)) {
    forwardRow<T, Vec<T>::size>(row, own, seen, block, form);
  } else {
    forwardRow<T, 1>(row, own, seen, block, form);
  }
}

// Probabilities take the products' place, and their scores' gradient that of the probabilities'.
template <class T, int N>
static __device__ __forceinline__ void backwardRow(T *row, T *gradient, const float *statistics,
                                                   Seen seen, Block block, Form form) {
  __shared__ float parts[32];
  int step = blockDim.x * N;
  float max = statistics[0];
  float logSum = statistics[1];
  float sum = 0.0f;
  for (int c = threadIdx.x * N; c < block.keys; c += step) {
    float x[N];
    float g[N];
    loadFloats(x, row + c);
    loadFloats(g, gradient + c);
#pragma unroll
    for (int e = 0; e < N; e++) {
      float p = seen.has(c + e) ? expf(form.of(x[e]) - max - logSum) : 0.0f;
      sum = fmaf(p, g[e], sum);
    }
  }
  sum = blockSum(sum, parts);
  for (int c = threadIdx.x * N; c < block.keys; c += step) {
    float x[N];
    float g[N];
    loadFloats(x, row + c);
    loadFloats(g, gradient + c);
#pragma unroll
    for (int e = 0; e < N; e++) {
      float slope;
      float score = form.of(x[e], slope);
      bool visible = seen.has(c + e);
      x[e] = visible ? expf(score - max - logSum) : 0.0f;
      g[e] = visible ? x[e] * (g[e] - sum) * slope * form.scale : 0.0f;
    }
    storeFloats(row + c, x);
    storeFloats(gradient + c, g);
  }
}

template <class T>
static __device__ __forceinline__ void backward(T *scores, T *gradients, const float *statistics,
                                                Sequences sequences, Block block, Form form) {
  Seen seen(sequences, block);
  i64 at = rowOf(block);
  const float *own = statistics + statisticsOf(block);
  if (block.keys % Vec<T>::size == 0 && isAligned16(scores) && isAligned16(gradients)) {
    backwardRow<T, Vec<T>::size>(scores + at, gradients + at, own, seen, block, form);
  } else {
    backwardRow<T, 1>(scores + at, gradients + at, own, seen, block, form);
  }
}

#define SCORES(S, T)                                                                            \
  extern "C" __global__ void scores_forward_##S(                                                \
      T *scores, float *statistics, const int *queries, const int *keyStarts, int sequences,    \
      int window, int group, int tokens, int firstToken, int firstKey, int keys, float scale,   \
      float cap) {                                                                              \
    forward<T>(scores, statistics, Sequences{queries, keyStarts, sequences, window},            \
               Block{group, tokens, firstToken, firstKey, keys}, Form{scale, cap});             \
  }                                                                                             \
  extern "C" __global__ void scores_backward_##S(                                               \
      T *scores, T *gradients, const float *statistics, const int *queries,                     \
      const int *keyStarts, int sequences, int window, int group, int tokens, int firstToken,   \
      int firstKey, int keys, float scale, float cap) {                                         \
    backward<T>(scores, gradients, statistics, Sequences{queries, keyStarts, sequences, window}, \
                Block{group, tokens, firstToken, firstKey, keys}, Form{scale, cap});            \
  }

KERNELS(SCORES)
