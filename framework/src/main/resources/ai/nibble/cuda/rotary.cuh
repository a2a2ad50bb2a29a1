// The rotation of a head by the angles of its position; after rows.cuh.

// One head's vector of pairs; direction 1 rotates, -1 rotates back.
template <class T, int N>
static __device__ __forceinline__ void rotatePairs(T *to, const T *from, int half, const float *cos,
                                                   const float *sin, float direction) {
  float a[N];
  float b[N];
  float c[N];
  float s[N];
  loadFloats(a, from);
  loadFloats(b, from + half);
  loadFloats(c, cos);
  loadFloats(s, sin);
#pragma unroll
  for (int e = 0; e < N; e++) {
    float x = a[e];
    float y = b[e];
    float t = s[e] * direction;
    a[e] = x * c[e] - y * t;
    b[e] = y * c[e] + x * t;
  }
  storeFloats(to, a);
  storeFloats(to + half, b);
}
