// silu(gate) * up over rows [2 width] with gate left and up right, and its gradient. Every step
// that nn/SwiGlu writes to a tensor is rounded here too.

template <class T, int N>
static __device__ __forceinline__ void swigluForwardRow(T *h, const T *gate, const T *up,
                                                        int width) {
  for (int c = (blockIdx.y * blockDim.x + threadIdx.x) * N; c < width;
       c += gridDim.y * blockDim.x * N) {
    float g[N];
    float u[N];
    loadFloats(g, gate + c);
    loadFloats(u, up + c);
#pragma unroll
    for (int e = 0; e < N; e++) {
      g[e] = rounded<T>(g[e] / (1.0f + expf(-g[e]))) * u[e];
    }
    storeFloats(h + c, g);
  }
}

template <class T>
static __device__ __forceinline__ void swigluForward(T *h, const T *gateUp, int width,
                                                     i64 stride) {
  i64 row = blockIdx.x;
  const T *gate = gateUp + row * 2 * width;
  T *to = h + row * stride;
  if (blockIdx.y == 0) clearRoom(to, width, stride, threadIdx.x, blockDim.x);
  if (width % Vec<T>::size == 0 && stride % Vec<T>::size == 0 && isAligned16(h) &&
      isAligned16(gateUp)) {
    swigluForwardRow<T, Vec<T>::size>(to, gate, gate + width, width);
  } else {
    swigluForwardRow<T, 1>(to, gate, gate + width, width);
  }
}

// A thread reads both elements before it writes to both places, which may be the same.
template <class T, int N>
static __device__ __forceinline__ void swigluBackwardRow(T *dGate, T *dUp, const T *dh,
                                                         const T *gate, const T *up, int width) {
  for (int c = (blockIdx.y * blockDim.x + threadIdx.x) * N; c < width;
       c += gridDim.y * blockDim.x * N) {
    float g[N];
    float u[N];
    float d[N];
    loadFloats(g, gate + c);
    loadFloats(u, up + c);
    loadFloats(d, dh + c);
#pragma unroll
    for (int e = 0; e < N; e++) {
      float x = g[e];
      float inverse = 1.0f + expf(-x);  // of the sigmoid
      float s = 1.0f / inverse;
      float product = rounded<T>(d[e] * u[e]);
      u[e] = rounded<T>(x / inverse) * d[e];
      g[e] = product * s * (1.0f + x * (1.0f - s));
    }
    storeFloats(dGate + c, g);
    storeFloats(dUp + c, u);
  }
}

template <class T>
static __device__ __forceinline__ void swigluBackward(T *dGateUp, const T *dh, i64 stride,
                                                      const T *gateUp, int width) {
  i64 row = blockIdx.x;
  T *dGate = dGateUp + row * 2 * width;
  const T *gate = gateUp + row * 2 * width;
  const T *d = dh + row * stride;
  if (width % Vec<T>::size == 0 && stride % Vec<T>::size == 0 && isAligned16(dGateUp) && isAligned16(dh) && isAligned16(gateUp)) {
    swigluBackwardRow<T, Vec<T>::size>(dGate, dGate + width, d, gate, gate + width, width);
  } else {
    swigluBackwardRow<T, 1>(dGate, dGate + width, d, gate, gate + width, width);
  }
}

#define SWIGLU(S, T)                                                                       \
  extern "C" __global__ void swiglu_forward_##S(T *h, const T *gateUp, int width,          \
                                                i64 stride) {                              \
    swigluForward<T>(h, gateUp, width, stride);                                            \
  }                                                                                        \
  extern "C" __global__ void swiglu_backward_##S(T *dGateUp, const T *dh, i64 stride,      \
                                                 const T *gateUp, int width) {             \
    swigluBackward<T>(dGateUp, dh, stride, gateUp, width);                                 \
  }

KERNELS(SWIGLU)
