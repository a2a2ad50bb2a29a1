// What HostKernelsTest runs: types.cuh, the fibres' order, and each mistake that must be reported.

template <class T>
static __device__ void roundTrip(T *out, float *back, const float *in, i64 n) {
  i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  out[i] = fromFloat<T>(in[i]);
  back[i] = toFloat(out[i]);
}

// Pairs through 16-byte accesses; n is a multiple of the vector.
template <class T>
static __device__ void vectors(T *out, const T *in, i64 n) {
  const int V = Vec<T>::size;
  i64 i = ((i64)blockIdx.x * blockDim.x + threadIdx.x) * V;
  if (i >= n) return;
  float values[V];
  loadVec(in + i, values);
  storeVec(out + i, values);
}

// The sum of each row, one block a row.
static __device__ void rowSums(float *out, const float *in, i64 columns) {
  __shared__ float scratch[32];
  const float *row = in + blockIdx.x * columns;
  float sum = 0.0f;
  for (i64 c = threadIdx.x; c < columns; c += blockDim.x) sum += row[c];
  sum = blockSum(sum, scratch);
  float most = -INFINITY;
  for (i64 c = threadIdx.x; c < columns; c += blockDim.x) most = fmaxf(most, row[c]);
  most = blockMax(most, -INFINITY, scratch);
  if (threadIdx.x == blockDim.x - 1) {
    out[2 * blockIdx.x] = sum;
    out[2 * blockIdx.x + 1] = most;
  }
}

#define ROUND_TRIP(suffix, T)                                                            \
  extern "C" __global__ void round_trip_##suffix(T *out, float *back, const float *in, i64 n) { \
    roundTrip<T>(out, back, in, n);                                                      \
  }                                                                                      \
  extern "C" __global__ void vectors_##suffix(T *out, const T *in, i64 n) {              \
    vectors<T>(out, in, n);                                                              \
  }
KERNELS(ROUND_TRIP)

extern "C" __global__ void __launch_bounds__(256)
    row_sums(float *out, const float *in, i64 columns) {
  rowSums(out, in, columns);
}

// The neighbour's value through dynamic shared memory.
extern "C" __global__ void rotate(int *out, int barriers) {
  extern __shared__ __align__(16) int values[];
  values[threadIdx.x] = threadIdx.x;
  if (barriers) __syncthreads();
  out[blockIdx.x * blockDim.x + threadIdx.x] = values[(threadIdx.x + 1) % blockDim.x];
}

extern "C" __global__ void missed_barrier(int *out) {
  if (threadIdx.x == 40) return;
  __syncthreads();
  out[threadIdx.x] = 1;
}

extern "C" __global__ void other_barrier(int *out) {
  if (threadIdx.x < 32) {
    __syncthreads();
  } else {
    out[threadIdx.x] = 1;
    __syncthreads();
  }
}

extern "C" __global__ void missed_shuffle(int *out) {
  if (threadIdx.x != 7) out[threadIdx.x] = __shfl_xor_sync(0xffffffffu, (int)threadIdx.x, 1);
}

extern "C" __global__ void beyond(float *out, const float *in, int write) {
  int i = threadIdx.x;
  if (write) {
    out[i] = 1.0f;
  } else {
    out[0] = in[i];
  }
}

extern "C" __global__ void beyond_shared(int *out) {
  extern __shared__ int values[];
  values[threadIdx.x + 1] = 1;
  out[threadIdx.x] = values[0];
}

extern "C" __global__ void beyond_array(int *out) {
  __shared__ int values[32];
  values[threadIdx.x + 1] = threadIdx.x;
  out[threadIdx.x] = values[threadIdx.x];
}

extern "C" __global__ void misaligned(const float *in, float *out) {
  float values[4];
  loadVec(in + 1, values);
  out[threadIdx.x] = values[0];
}
