// Rows of tensors read and written 16 bytes at a time, as floats; after types.cuh.
//
// A kernel's body is a template over N, the elements of an access: N = Vec<T>::size where all rows
// begin on 16 bytes, 1 where they do not. What the threads of a row add up they add in one fixed
// order, so that the same launch gives the same bits.

// N elements as they lie in memory, kept in registers.
template <class T, int N>
struct Piece {
  Bits128 bits;
  __device__ __forceinline__ void floats(float (&out)[N]) const { unpack(T{}, bits, out); }
  static __device__ __forceinline__ Piece of(const float *in) { return {pack(T{}, in)}; }
};
template <class T>
struct Piece<T, 1> {
  T bits;
  __device__ __forceinline__ void floats(float (&out)[1]) const { out[0] = toFloat(bits); }
  static __device__ __forceinline__ Piece of(const float *in) { return {fromFloat<T>(*in)}; }
};

template <class T, int N>
static __device__ __forceinline__ Piece<T, N> loadPiece(const T *from) {
  return *(const Piece<T, N> *)from;
}

template <class T, int N>
static __device__ __forceinline__ void storePiece(T *to, Piece<T, N> piece) {
  *(Piece<T, N> *)to = piece;
}

// N floats from any type; 32 bytes of float32, beside 16 of bfloat16, are two loads.
template <int N, class T>
static __device__ __forceinline__ void loadFloats(float (&to)[N], const T *from) {
  constexpr int W = N < Vec<T>::size ? N : Vec<T>::size;
#pragma unroll
  for (int k = 0; k < N; k += W) {
    float part[W];
    loadPiece<T, W>(from + k).floats(part);
#pragma unroll
    for (int e = 0; e < W; e++) to[k + e] = part[e];
  }
}

// N floats, each rounded once.
template <int N, class T>
static __device__ __forceinline__ void storeFloats(T *to, const float (&from)[N]) {
  constexpr int W = N < Vec<T>::size ? N : Vec<T>::size;
#pragma unroll
  for (int k = 0; k < N; k += W) storePiece<T, W>(to + k, Piece<T, W>::of(from + k));
}

// Zeros behind the elements of a row, up to the next one.
template <class T>
static __device__ __forceinline__ void clearRoom(T *row, int width, i64 stride, int lane,
                                                 int lanes) {
  for (i64 c = width + lane; c < stride; c += lanes) row[c] = fromFloat<T>(0.0f);
}

// The sum over the threads of a row, a warp's 32 or with more lanes the whole block's; every thread
// gets it.
static __device__ __forceinline__ float rowSum(float value, int lanes) {
  __shared__ float parts[32];
  return lanes == 32 ? warpSum(value) : blockSum(value, parts);
}

// The row of a thread: one a warp where a row has 32 lanes, one a block where it has more.
static __device__ __forceinline__ i64 rowOfThread(int lanes) {
  return lanes == 32 ? (i64)blockIdx.x * (blockDim.x >> 5) + (threadIdx.x >> 5) : (i64)blockIdx.x;
}

static __device__ __forceinline__ int laneOfThread(int lanes) { return threadIdx.x & (lanes - 1); }
