// act(gate) * up over rows [2 width] with gate left and up right, and its gradient. Every step that
// nn/SwiGlu and nn/GeGlu write to a tensor or round is rounded here too.

// x sigmoid(x)
struct Silu {
  static __device__ __forceinline__ float value(float x) {
    return x / (1.0f + expf(-x));
  }

  // The value, and a product times the slope.
  static __device__ __forceinline__ float gradient(float x, float product, float &value) {
    float inverse = 1.0f + expf(-x);  // of the sigmoid
    float s = 1.0f / inverse;
    value = x / inverse;
    return product * s * (1.0f + x * (1.0f - s));
  }
};

// x/2 (1 + tanh u), u = sqrt(2/pi) (x + 0.044715 x^3)
struct GeluTanh {
  static __device__ __forceinline__ float beta() { return 0.7978845608028654f; }
  static __device__ __forceinline__ float kappa() { return 0.044715f; }

  static __device__ __forceinline__ float tanhOf(float x) {
    return tanhf(beta() * (x + kappa() * (x * x * x)));
  }

  static __device__ __forceinline__ float value(float x) {
    return 0.5f * x * (1.0f + tanhOf(x));
  }

  static __device__ __forceinline__ float gradient(float x, float product, float &value) {
    float t = tanhOf(x);
    float inner = beta() * (1.0f + 3.0f * kappa() * x * x);
    value = 0.5f * x * (1.0f + t);
    return product * (0.5f * (1.0f + t) + 0.5f * x * (1.0f - t * t) * inner);
  }
};

template <class A, class T, int N>
static __device__ __forceinline__ void gatedForwardRow(T *h, const T *gate, const T *up,
                                                       int width) {
  for (int c = (blockIdx.y * blockDim.x + threadIdx.x) * N; c < width;
       c += gridDim.y * blockDim.x * N) {
    float g[N];
    float u[N];
    loadFloats(g, gate + c);
    loadFloats(u, up + c);
#pragma unroll
    for (int e = 0; e < N; e++) {
      g[e] = rounded<T>(A::value(g[e])) * u[e];
    }
    storeFloats(h + c, g);
  }
}

template <class A, class T>
static __device__ __forceinline__ void gatedForward(T *h, const T *gateUp, int width, i64 stride) {
  i64 row = blockIdx.x;
  const T *gate = gateUp + row * 2 * width;
  T *to = h + row * stride;
  if (blockIdx.y == 0) clearRoom(to, width, stride, threadIdx.x, blockDim.x);
  if (width % Vec<T>::size == 0 && stride % Vec<T>::size == 0 && isAligned16(h) &&
      isAligned16(gateUp)) {
    gatedForwardRow<A, T, Vec<T>::size>(to, gate, gate + width, width);
  } else {
    gatedForwardRow<A, T, 1>(to, gate, gate + width, width);
  }
}

// A thread reads both elements before it writes to both places, which may be the same.
template <class A, class T, int N>
static __device__ __forceinline__ void gatedBackwardRow(T *dGate, T *dUp, const T *dh,
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
      float value;
      g[e] = A::gradient(g[e], rounded<T>(d[e] * u[e]), value);
      u[e] = rounded<T>(value) * d[e];
    }
    storeFloats(dGate + c, g);
    storeFloats(dUp + c, u);
  }
}

template <class A, class T>
static __device__ __forceinline__ void gatedBackward(T *dGateUp, const T *dh, i64 stride,
                                                     const T *gateUp, int width) {
  i64 row = blockIdx.x;
  T *dGate = dGateUp + row * 2 * width;
  const T *gate = gateUp + row * 2 * width;
  const T *d = dh + row * stride;
  if (width % Vec<T>::size == 0 && stride % Vec<T>::size == 0 && isAligned16(dGateUp) &&
      isAligned16(dh) && isAligned16(gateUp)) {
    gatedBackwardRow<A, T, Vec<T>::size>(dGate, dGate + width, d, gate, gate + width, width);
  } else {
    gatedBackwardRow<A, T, 1>(dGate, dGate + width, d, gate, gate + width, width);
  }
}

#define GATED(name, A, S, T)                                                                   \
  extern "C" __global__ void name##_forward_##S(T *h, const T *gateUp, int width, i64 stride) { \
    gatedForward<A, T>(h, gateUp, width, stride);                                              \
  }                                                                                            \
  extern "C" __global__ void name##_backward_##S(T *dGateUp, const T *dh, i64 stride,          \
                                                 const T *gateUp, int width) {                 \
    gatedBackward<A, T>(dGateUp, dh, stride, gateUp, width);                                   \
  }
#define SWIGLU(S, T) GATED(swiglu, Silu, S, T)
#define GEGLU(S, T) GATED(geglu, GeluTanh, S, T)

KERNELS(SWIGLU)
KERNELS(GEGLU)
