// AdamW with its two states in 8 bits, as bitsandbytes keeps them: a code into a map of 256 sorted
// values in [-1, 1] (first moment) or [0, 1] (second), times the greatest magnitude of its block of
// 256 elements. A warp a block, so that maxima need no barrier.

#define BLOCK 256
#define PER_LANE (BLOCK / 32)
#define MAP 256

// Index of the map's entry nearest to x: halving steps, then the midpoint to the neighbour.
static __device__ __forceinline__ int nearest(float x, const float *map) {
  int pivot = MAP / 2 - 1;
#pragma unroll
  for (int step = MAP / 4; step > 0; step /= 2) pivot += x > map[pivot] ? step : -step;
  float value = map[pivot];
  if (x > value) return x > (value + map[pivot + 1]) * 0.5f ? pivot + 1 : pivot;
  return pivot > 0 && x < (value + map[pivot - 1]) * 0.5f ? pivot - 1 : pivot;
}

// As nearest, and of x's sign: one entry further where the nearest is zero or beyond.
static __device__ __forceinline__ int nearestOfSign(float x, const float *map) {
  int code = nearest(x, map);
  if (x < 0.0f && !(map[code] < 0.0f)) return code - 1;
  return x > 0.0f && map[code] < 0.0f ? code + 1 : code;
}

static __device__ __forceinline__ float relative(float x, float absmax) {
  return absmax > 0.0f ? x / absmax : 0.0f;
}

// One block of elements [begin, begin + 256), those below n.
static __device__ __forceinline__ void updateBlock(float *param, const float *grad, u8 *mCodes,
                                                   u8 *vCodes, float *mAbsmax, float *vAbsmax,
                                                   const float *mMap, const float *vMap, i64 block,
                                                   i64 n, float scale, AdamW constants) {
  i64 begin = block * BLOCK + (threadIdx.x & 31);
  float oldM = mAbsmax[block];
  float oldV = vAbsmax[block];
  float m[PER_LANE];
  float v[PER_LANE];
  float maxM = 0.0f;
  float maxV = 0.0f;
#pragma unroll
  for (int k = 0; k < PER_LANE; k++) {
    i64 i = begin + 32 * k;
    m[k] = 0.0f;
    v[k] = 0.0f;
    if (i < n) {
      float p = param[i];
      m[k] = mMap[mCodes[i]] * oldM;
      v[k] = vMap[vCodes[i]] * oldV;
      constants.update(p, grad[i] * scale, m[k], v[k]);
      param[i] = p;
    }
    maxM = fmaxf(maxM, fabsf(m[k]));
    maxV = fmaxf(maxV, v[k]);
  }
  maxM = warpMax(maxM);
  maxV = warpMax(maxV);
#pragma unroll
  for (int k = 0; k < PER_LANE; k++) {
    i64 i = begin + 32 * k;
    if (i < n) {
      mCodes[i] = (u8)nearestOfSign(relative(m[k], maxM), mMap);
      vCodes[i] = (u8)nearest(relative(v[k], maxV), vMap);
    }
  }
  if ((threadIdx.x & 31) == 0) {
    mAbsmax[block] = maxM;
    vAbsmax[block] = maxV;
  }
}

extern "C" __global__ void adamw8(float *param, const float *grad, u8 *mCodes, u8 *vCodes,
                                  float *mAbsmax, float *vAbsmax, const float *signedMap,
                                  const float *unsignedMap, const float *factor, i64 n, float decay,
                                  float weight1, float beta2, float weight2, float correction2,
                                  float eps, float negativeStepSize) {
  __shared__ float mMap[MAP];
  __shared__ float vMap[MAP];
  for (int i = threadIdx.x; i < MAP; i += blockDim.x) {
    mMap[i] = signedMap[i];
    vMap[i] = unsignedMap[i];
  }
  __syncthreads();
  if (factor[1] == 0.0f) return;
  AdamW constants = {decay, weight1, beta2, weight2, correction2, eps, negativeStepSize};
  i64 warps = (i64)gridDim.x * (blockDim.x >> 5);
  i64 first = (i64)blockIdx.x * (blockDim.x >> 5) + (threadIdx.x >> 5);
  for (i64 block = first; block * BLOCK < n; block += warps) {
    updateBlock(param, grad, mCodes, vCodes, mAbsmax, vAbsmax, mMap, vMap, block, n, factor[0],
                constants);
  }
}
