// SplitMix64's increment and finaliser: what an index hashes to decides what is random.
#define GOLDEN_GAMMA 0x9E3779B97F4A7C15ull

static __device__ __forceinline__ u64 mix(u64 z) {
  z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9ull;
  z = (z ^ z >> 27) * 0x94D049BB133111EBull;
  return z ^ z >> 31;
}
