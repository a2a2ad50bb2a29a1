// Attention of one new token's queries to the keys and values of its sequence's cache, after
// rotary.cuh. Keys are taken in chunks: a block has one key/value head, up to GROUP of the queries
// that read it, and one chunk, so that keys and values are read once for all of them. Where there
// is more than one chunk, a second kernel joins their results in order (flash decoding, Dao et al.
// 2023). Statistics and sums are float32.

#define GROUP 4
#define CHUNK 128
#define THREADS 128
#define WARPS (THREADS / 32)
#define MAX_HEAD 256
// Elements of a head that a lane has: with 32 lanes, MAX_HEAD.
#define OWN 8

#define MINUS_INFINITY __uint_as_float(0xff800000u)

// How the lanes of a warp share a head: `lanes` of them have one key, each N elements of 16 bytes
// at a time. Heads that do not lie on 16 bytes are read element by element.
template <class T>
struct Lanes {
  static const int N = Vec<T>::size;
  int lanes;
  int lane;  // among those of a key
  int team;  // which of the block's keys at a time
  int teams;
  int width;
  bool aligned;

  __device__ __forceinline__ Lanes(int headDim, bool onVectors)
      : lanes(1), width(headDim), aligned(onVectors) {
    while (lanes < 32 && lanes * N < headDim) lanes *= 2;
    lane = threadIdx.x & (lanes - 1);
    team = threadIdx.x / lanes;
    teams = THREADS / lanes;
  }

  // Which element of the head the first of a lane's k-th access is.
  __device__ __forceinline__ int at(int k) const { return (k * lanes + lane) * N; }

  // The lane's elements of a head, zeros beyond its end.
  __device__ __forceinline__ void load(float (&to)[OWN], const T *head) const {
#pragma unroll
    for (int k = 0; k < OWN / N; k++) {
      float part[N];
#pragma unroll
      for (int e = 0; e < N; e++) part[e] = 0.0f;
      if (aligned) {
        if (at(k) < width) loadVec(head + at(k), part);
      } else {
#pragma unroll
        for (int e = 0; e < N; e++) {
          if (at(k) + e < width) part[e] = toFloat(head[at(k) + e]);
        }
      }
#pragma unroll
      for (int e = 0; e < N; e++) to[k * N + e] = part[e];
    }
  }
};

// What a block keeps of its queries' chunk.
struct Shared {
  float weights[GROUP][CHUNK];
  float max[GROUP];
  float sum[GROUP];
  float partial[WARPS][MAX_HEAD];
};

// What products of queries and keys are made to: scale q.k, with a cap cap*tanh(scale q.k / cap).
struct ScoreForm {
  float scale;
  float cap;  // 0: none

  __device__ __forceinline__ float of(float product) const {
    float score = product * scale;
    return cap == 0.0f ? score : tanhf(score / cap) * cap;
  }
};

// scores of keys [begin, begin + count)
template <class T>
static __device__ __forceinline__ void scores(Shared &shared, Lanes<T> my, const T *q,
                                              const T *keys, int queries, int count,
                                              ScoreForm form) {
  float query[GROUP][OWN];
#pragma unroll
  for (int g = 0; g < GROUP; g++) {
    my.load(query[g], q + min(g, queries - 1) * my.width);
  }
  // All lanes of a warp take part in its exchanges, those without a key too. The next key is under
  // way while this one's products are added up.
  float next[OWN];
  my.load(next, keys + (i64)min(my.team, count - 1) * my.width);
#pragma unroll 1
  for (int first = 0; first < count; first += my.teams) {
    int j = first + my.team;
    float key[OWN];
#pragma unroll
    for (int e = 0; e < OWN; e++) key[e] = next[e];
    my.load(next, keys + (i64)min(j + my.teams, count - 1) * my.width);
    float dots[GROUP];
#pragma unroll
    for (int g = 0; g < GROUP; g++) {
      dots[g] = 0.0f;
#pragma unroll
      for (int e = 0; e < OWN; e++) dots[g] = fmaf(query[g][e], key[e], dots[g]);
    }
#pragma unroll 1
    for (int far = 1; far < my.lanes; far *= 2) {
#pragma unroll
      for (int g = 0; g < GROUP; g++) dots[g] += __shfl_xor_sync(0xffffffffu, dots[g], far);
    }
#pragma unroll
    for (int g = 0; g < GROUP; g++) {
      if (my.lane == 0 && j < count && g < queries) shared.weights[g][j] = form.of(dots[g]);
    }
  }
}

// Turns scores into exponentials relative to the chunk's greatest; a warp a query.
static __device__ __forceinline__ void exponentials(Shared &shared, int queries, int count) {
  int lane = threadIdx.x & 31;
  for (int g = threadIdx.x >> 5; g < queries; g += WARPS) {
    float max = MINUS_INFINITY;
    for (int j = lane; j < count; j += 32) max = fmaxf(max, shared.weights[g][j]);
    max = warpMax(max);
    float base = max == MINUS_INFINITY ? 0.0f : max;
    float sum = 0.0f;
    for (int j = lane; j < count; j += 32) {
      float weight = expf(shared.weights[g][j] - base);
      shared.weights[g][j] = weight;
      sum += weight;
    }
    sum = warpSum(sum);
    if (lane == 0) {
      shared.max[g] = max;
      shared.sum[g] = sum;
    }
  }
}

// sums of values by the weights, each lane for its elements and its team's keys
template <class T>
static __device__ __forceinline__ void weighted(float (&sums)[GROUP][OWN], const Shared &shared,
                                                Lanes<T> my, const T *values, int queries,
                                                int count) {
#pragma unroll
  for (int g = 0; g < GROUP; g++) {
#pragma unroll
    for (int e = 0; e < OWN; e++) sums[g][e] = 0.0f;
  }
  float next[OWN];
  my.load(next, values + (i64)min(my.team, count - 1) * my.width);
#pragma unroll 1
  for (int j = my.team; j < count; j += my.teams) {
    float value[OWN];
#pragma unroll
    for (int e = 0; e < OWN; e++) value[e] = next[e];
    my.load(next, values + (i64)min(j + my.teams, count - 1) * my.width);
#pragma unroll
    for (int g = 0; g < GROUP; g++) {
      float weight = g < queries ? shared.weights[g][j] : 0.0f;
#pragma unroll
      for (int e = 0; e < OWN; e++) sums[g][e] = fmaf(weight, value[e], sums[g][e]);
    }
  }
}

// Adds up the sums of the teams in each warp.
template <class T>
static __device__ __forceinline__ void joinTeams(float (&sums)[GROUP][OWN], Lanes<T> my) {
#pragma unroll 1
  for (int far = my.lanes; far < 32; far *= 2) {
#pragma unroll
    for (int g = 0; g < GROUP; g++) {
#pragma unroll
      for (int e = 0; e < OWN; e++) {
        sums[g][e] += __shfl_xor_sync(0xffffffffu, sums[g][e], far);
      }
    }
  }
}

// Brings one query's sums to where all threads see those of every warp.
template <class T>
static __device__ __forceinline__ void share(Shared &shared, Lanes<T> my, const float (&sum)[OWN]) {
  __syncthreads();
  if ((threadIdx.x & 31) < (u32)my.lanes) {
#pragma unroll
    for (int k = 0; k < OWN / Lanes<T>::N; k++) {
#pragma unroll
      for (int e = 0; e < Lanes<T>::N; e++) {
        int d = my.at(k) + e;
        if (d < my.width) shared.partial[threadIdx.x >> 5][d] = sum[k * Lanes<T>::N + e];
      }
    }
  }
  __syncthreads();
}

// Of a launch: keys [first, length) of the caches [kvHeads, capacity, width].
struct Span {
  int first;
  int length;
  int capacity;
};

template <class T>
static __device__ __forceinline__ void attend(T *out, float *partial, const T *q, const T *keys,
                                              const T *values, int group, int headDim, Span span,
                                              ScoreForm form) {
  __shared__ Shared shared;
  bool aligned =
      headDim % Vec<T>::size == 0 && isAligned16(q) && isAligned16(keys) && isAligned16(values);
  Lanes<T> my(headDim, aligned);
  int firstQuery = blockIdx.y * group + blockIdx.z * GROUP;
  int queries = min(GROUP, group - (int)blockIdx.z * GROUP);
  int begin = span.first + blockIdx.x * CHUNK;
  int count = min(CHUNK, span.length - begin);
  i64 at = ((i64)blockIdx.y * span.capacity + begin) * headDim;

  scores<T>(shared, my, q + (i64)firstQuery * headDim, keys + at, queries, count, form);
  __syncthreads();
  exponentials(shared, queries, count);
  __syncthreads();
  float sums[GROUP][OWN];
  weighted<T>(sums, shared, my, values + at, queries, count);
  joinTeams<T>(sums, my);
#pragma unroll
  for (int g = 0; g < GROUP; g++) {
    if (g >= queries) continue;
    share<T>(shared, my, sums[g]);
    i64 head = firstQuery + g;
    float *to = partial + (head * gridDim.x + blockIdx.x) * (headDim + 2);
    for (int d = threadIdx.x; d < headDim; d += THREADS) {
      float sum = 0.0f;
#pragma unroll
      for (int w = 0; w < WARPS; w++) sum += shared.partial[w][d];
      if (gridDim.x == 1) {
        out[head * headDim + d] = fromFloat<T>(sum / shared.sum[g]);
      } else {
        to[2 + d] = sum;
      }
    }
    if (gridDim.x > 1 && threadIdx.x == 0) {
      to[0] = shared.max[g];
      to[1] = shared.sum[g];
    }
  }
}

// One head's chunks, partial [chunks, 2 + width] of greatest score, sum of exponentials and sums of
// values, in order; a block a head.
template <class T>
static __device__ __forceinline__ void join(T *out, const float *partial, int chunks, int headDim) {
  int stride = headDim + 2;
  const float *mine = partial + (i64)blockIdx.x * chunks * stride;
  __shared__ float scratch[32];
  float max = MINUS_INFINITY;
  for (int c = threadIdx.x; c < chunks; c += blockDim.x) {
    max = fmaxf(max, mine[(i64)c * stride]);
  }
  max = blockMax(max, MINUS_INFINITY, scratch);
  float base = max == MINUS_INFINITY ? 0.0f : max;
  float all = 0.0f;
  for (int c = threadIdx.x; c < chunks; c += blockDim.x) {
    all += mine[(i64)c * stride + 1] * expf(mine[(i64)c * stride] - base);
  }
  all = blockSum(all, scratch);
  for (int d = threadIdx.x; d < headDim; d += blockDim.x) {
    float sum = 0.0f;
#pragma unroll 4
    for (int c = 0; c < chunks; c++) {
      const float *chunk = mine + (i64)c * stride;
      sum = fmaf(chunk[2 + d], expf(chunk[0] - base), sum);
    }
    out[(i64)blockIdx.x * headDim + d] = fromFloat<T>(sum / all);
  }
}

// A token's rotated queries to q, its rotated key and its value to place `at` of the caches
// [keyValueHeads, capacity, headDim]; a block a head.
template <class T, int N>
static __device__ __forceinline__ void appendHead(T *to, const T *from, int half, int headDim,
                                                  const float *cos, const float *sin,
                                                  bool rotates) {
  for (int i = threadIdx.x * N; i < half; i += blockDim.x * N) {
    if (rotates) {
      rotatePairs<T, N>(to + i, from + i, half, cos + i, sin + i, 1.0f);
    } else {
      storePiece<T, N>(to + i, loadPiece<T, N>(from + i));
      storePiece<T, N>(to + half + i, loadPiece<T, N>(from + half + i));
    }
  }
  for (int i = 2 * half + threadIdx.x * N; i < headDim; i += blockDim.x * N) {
    storePiece<T, N>(to + i, loadPiece<T, N>(from + i));
  }
}

template <class T>
static __device__ __forceinline__ void append(T *q, T *keys, T *values, const T *qkv,
                                              const float *cos, const float *sin, int heads,
                                              int keyValueHeads, int half, int headDim,
                                              int capacity, int at) {
  int h = blockIdx.x;
  int d = headDim;
  T *to = q + (i64)h * d;
  if (h >= heads) {
    int own = h - heads;
    T *cache = own < keyValueHeads ? keys : values;
    if (own >= keyValueHeads) own -= keyValueHeads;
    to = cache + ((i64)own * capacity + at) * d;
  }
  const T *from = qkv + (i64)h * d;
  const float *c = cos + (i64)at * half;
  const float *s = sin + (i64)at * half;
  bool rotates = h < heads + keyValueHeads;
  if (half % Vec<T>::size == 0 && d % Vec<T>::size == 0 && isAligned16(to) && isAligned16(from) && isAligned16(c) &&
      isAligned16(s)) {
    appendHead<T, Vec<T>::size>(to, from, half, d, c, s, rotates);
  } else {
    appendHead<T, 1>(to, from, half, d, c, s, rotates);
  }
}

#define CACHED_ATTENTION(S, T)                                                                    \
  extern "C" __global__ void cached_attention_##S(                                                \
      T *out, float *partial, const T *q, const T *keys, const T *values, int group, int headDim, \
      int first, int length, int capacity, float scale, float cap) {                              \
    Span span = {first, length, capacity};                                                        \
    attend<T>(out, partial, q, keys, values, group, headDim, span, ScoreForm{scale, cap});        \
  }                                                                                               \
  extern "C" __global__ void cached_attention_join_##S(T *out, const float *partial, int chunks,  \
                                                       int headDim) {                             \
    join<T>(out, partial, chunks, headDim);                                                       \
  }                                                                                               \
  extern "C" __global__ void cached_attention_append_##S(                                         \
      T *q, T *keys, T *values, const T *qkv, const float *cos, const float *sin, int heads,      \
      int keyValueHeads, int half, int headDim, int capacity, int at) {                           \
    append<T>(q, keys, values, qkv, cos, sin, heads, keyValueHeads, half, headDim, capacity, at); \
  }

KERNELS(CACHED_ATTENTION)
