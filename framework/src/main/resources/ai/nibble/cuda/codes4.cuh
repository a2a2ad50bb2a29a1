// The two 4-bit codes of bitsandbytes and the statistics of their blocks.

// By code: NF4, then FP4, whose code 8 is a second +0.
__constant__ float CODES4[32] = {
    -1.0f, -0.6961928009986877f, -0.5250730514526367f, -0.39491748809814453f,
    -0.28444138169288635f, -0.18477343022823334f, -0.09105003625154495f, 0.0f,
    0.07958029955625534f, 0.16093020141124725f, 0.24611230194568634f, 0.33791524171829224f,
    0.44070982933044434f, 0.5626170039176941f, 0.7229568362236023f, 1.0f,
    0.0f, 0.0052083334885537624f, 0.6666666865348816f, 1.0f,
    0.3333333432674408f, 0.5f, 0.1666666716337204f, 0.25f,
    0.0f, -0.0052083334885537624f, -0.6666666865348816f, -1.0f,
    -0.3333333432674408f, -0.5f, -0.1666666716337204f, -0.25f};

// FP4's codes by rank, the least first. NF4's are in order.
__constant__ u8 FP4_OF_RANK[16] = {11, 10, 13, 12, 15, 14, 9, 0, 8, 1, 6, 7, 4, 5, 2, 3};

static const int NF4 = 0, FP4 = 1;

// Block statistics: float32 absmax, or with absmax2 one byte a block, of which
// absmax = map[byte] * absmax2[block / 256] + offset, each operation rounded.
struct Absmax4 {
  const void *absmax;
  const float *absmax2;  // null where absmax is float32
  float offset;
};

// What a block's absmax takes from memory; the table look-up that completes it comes later, so that
// many of these loads are under way at once.
struct Statistic4 {
  float value;  // the absmax, or the second level's
  u32 index;
};

static __device__ __forceinline__ Statistic4 loadStatistic(Absmax4 a, i64 block) {
  if (a.absmax2 == nullptr) return Statistic4{__ldg((const float *)a.absmax + block), 0};
  return Statistic4{__ldg(a.absmax2 + (block >> 8)), __ldg((const u8 *)a.absmax + block)};
}

// map: in shared memory.
static __device__ __forceinline__ float absmaxOf(Absmax4 a, Statistic4 s, const float *map) {
  return a.absmax2 == nullptr ? s.value : map[s.index] * s.value + a.offset;
}
