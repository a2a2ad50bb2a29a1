// Rotary position embedding of queries and keys: element i of a head's first half rotates against
// element i of its second by the angle of the token's position; of a head that is rotated in part,
// those of its first elements. A block a token.

// Where a token's heads are: queries, keys and values, each side by side.
template <class T>
struct Token {
  const T *q;
  const T *k;
  const T *v;

  __device__ const T *head(int h, int heads, int keyValueHeads, int width) const {
    if (h < heads) {
      return q + h * width;
    }
    return h < heads + keyValueHeads ? k + (h - heads) * width
                                     : v + (h - heads - keyValueHeads) * width;
  }
};

// All heads of a token, [heads + 2 keyValueHeads, width], of which the values and what is behind the
// first 2 half elements are copied.
template <class T, int N>
static __device__ __forceinline__ void rotateToken(T *out, Token<T> from, int heads,
                                                   int keyValueHeads, int half, int width,
                                                   const float *cos, const float *sin,
                                                   float direction) {
  int pairs = half / N;
  int pieces = pairs + (width - 2 * half) / N;
  int all = (heads + 2 * keyValueHeads) * pieces;
  for (int i = threadIdx.x; i < all; i += blockDim.x) {
    int h = i / pieces;
    int piece = i - h * pieces;
    int at = piece < pairs ? piece * N : 2 * half + (piece - pairs) * N;
    const T *source = from.head(h, heads, keyValueHeads, width) + at;
    T *to = out + h * width + at;
    if (piece < pairs && h < heads + keyValueHeads) {
      rotatePairs<T, N>(to, source, half, cos + at, sin + at, direction);
    } else if (to != source) {
      Piece<T, N> low = loadPiece<T, N>(source);
      if (piece < pairs) {
        Piece<T, N> high = loadPiece<T, N>(source + half);
        storePiece<T, N>(to + half, high);
      }
      storePiece<T, N>(to, low);
    }
  }
}

template <class T>
static __device__ __forceinline__ void rotateRow(T *out, Token<T> from, int heads,
                                                 int keyValueHeads, int half, int width,
                                                 const float *cos, const float *sin,
                                                 float direction, bool aligned) {
  if (aligned && half % Vec<T>::size == 0 && width % Vec<T>::size == 0 && isAligned16(cos) &&
      isAligned16(sin)) {
    rotateToken<T, Vec<T>::size>(out, from, heads, keyValueHeads, half, width, cos, sin,
                                 direction);
  } else {
    rotateToken<T, 1>(out, from, heads, keyValueHeads, half, width, cos, sin, direction);
  }
}

template <class T>
static __device__ __forceinline__ void rotaryRotate(T *out, const T *qkv, const int *positions,
                                                    const float *cos, const float *sin, int heads,
                                                    int keyValueHeads, int half, int width) {
  i64 row = blockIdx.x;
  const T *q = qkv + row * (heads + 2 * keyValueHeads) * width;
  const T *k = q + heads * width;
  Token<T> from = {q, k, k + keyValueHeads * width};
  i64 angle = (i64)positions[row] * half;
  rotateRow<T>(out + row * (heads + 2 * keyValueHeads) * width, from, heads, keyValueHeads, half,
               width, cos + angle, sin + angle, 1.0f, isAligned16(out) && isAligned16(qkv));
}

template <class T>
static __device__ __forceinline__ void rotaryGradient(T *dqkv, const T *dq, const T *dk,
                                                      const T *dv, const int *positions,
                                                      const float *cos, const float *sin, int heads,
                                                      int keyValueHeads, int half, int width) {
  i64 row = blockIdx.x;
  i64 kv = row * keyValueHeads * width;
  Token<T> from = {dq + row * heads * width, dk + kv, dv + kv};
  i64 angle = (i64)positions[row] * half;
  rotateRow<T>(dqkv + row * (heads + 2 * keyValueHeads) * width, from, heads, keyValueHeads, half,
               width, cos + angle, sin + angle, -1.0f,
               isAligned16(dqkv) && isAligned16(dq) && isAligned16(dk) && isAligned16(dv));
}

#define ROTARY(S, T)                                                                          \
  extern "C" __global__ void rotary_rotate_##S(T *out, const T *qkv, const int *positions,    \
                                               const float *cos, const float *sin, int heads, \
                                               int keyValueHeads, int half, int width) {      \
    rotaryRotate<T>(out, qkv, positions, cos, sin, heads, keyValueHeads, half, width);        \
  }                                                                                           \
  extern "C" __global__ void rotary_gradient_##S(                                             \
      T *dqkv, const T *dq, const T *dk, const T *dv, const int *positions, const float *cos, \
      const float *sin, int heads, int keyValueHeads, int half, int width) {                  \
    rotaryGradient<T>(dqkv, dq, dk, dv, positions, cos, sin, heads, keyValueHeads, half,      \
                      width);                                                                 \
  }

KERNELS(ROTARY)
