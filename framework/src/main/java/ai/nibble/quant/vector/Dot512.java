package ai.nibble.quant.vector;

import jdk.incubator.vector.ByteVector;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorSpecies;

/**
 * Dot products of inputs with rows of packed 4-bit codes, in 512-bit registers: codes become values
 * ({@link Codes512}), which meet the input in float32 multiply-adds.
 *
 * <p>Inputs lie as a unit's nibbles come: 16 elements of even index, then 16 of odd index.
 *
 * <p>An instance serves one thread. Loading the class needs the module {@code
 * jdk.incubator.vector}.
 */
public final class Dot512 {
  /** Inputs that {@link #four} takes. */
  public static final int FOUR = 4;

  /** Bytes that may be read, and are not used, behind the rows. */
  public static final int SLACK = 48;

  /** The half of an int that is the value of even index. */
  private static final int HIGH = 0xFFFF0000;

  /** Longest time for {@link #warmUp}, which takes a second where a core is free. */
  private static final long WARM_UP_NANOS = 10_000_000_000L;

  private static final VectorSpecies<Float> F = Codes512.FLOATS;
  private static final VectorSpecies<Byte> B = Codes512.BYTES;

  private final float[] codes;
  private final boolean round;
  private final int shift;
  private final byte[] packed;
  private final float[] scales;

  /**
   * @param codes the 16 values
   * @param round whether code times absmax is rounded to bfloat16
   * @param shift binary logarithm of the units in a block
   * @param packed where rows are put before they are read, with {@link #SLACK} behind them
   * @param scales where their blocks' absmax are put
   */
  public Dot512(float[] codes, boolean round, int shift, byte[] packed, float[] scales) {
    this.codes = codes;
    this.round = round;
    this.shift = shift;
    this.packed = packed;
    this.scales = scales;
  }

  /** Whether this machine has such registers; without them all this is slow. */
  public static boolean isFast() {
    return FloatVector.SPECIES_PREFERRED == Codes512.FLOATS;
  }

  /**
   * Runs the kernels on made-up rows until HotSpot has compiled them. Until then each of their
   * operations is a call that makes an object of an array, a thousand times slower: a model's first
   * token would take as long as the next hundred, and its threads would leave the compiler no core.
   */
  public static void warmUp() {
    int units = 64;
    int rows = 16;
    float[] x = new float[FOUR * Codes512.UNIT * units];
    byte[] packed = new byte[Codes512.UNIT_BYTES * units + SLACK];
    Dot512 dot = new Dot512(new float[16], true, 1, packed, new float[units / 2]);
    float[] sums = new float[FOUR];
    long end = System.nanoTime() + WARM_UP_NANOS;
    for (int compiled = 0; compiled < 3 && System.nanoTime() < end; ) {
      long start = System.nanoTime();
      for (int r = 0; r < rows; r++) {
        dot.one(0, units, 0, x);
        dot.single(0, units, 0, x);
        dot.four(0, units, 0, x, 0, sums);
      }
      // 65536 elements: some 15 µs compiled, tens of milliseconds otherwise
      compiled = System.nanoTime() - start < 1_000_000 ? compiled + 1 : 0;
    }
  }

  /**
   * One input with one row.
   *
   * @param at first byte of the row
   * @param units of the row
   * @param before units from the start of the first block to the row
   * @param x the input
   */
  public float one(int at, int units, int before, float[] x) {
    boolean pairs = round && shift > 0 && ((before | units) & 1) == 0;
    return pairs ? twice(at, units, before, x) : single(at, units, before, x);
  }

  /** Two units of one block at a time, rounded. */
  private float twice(int at, int units, int before, float[] x) {
    byte[] packed = this.packed;
    float[] scales = this.scales;
    int shift = this.shift;
    FloatVector values = FloatVector.fromArray(F, codes, 0);
    ByteVector spread = Codes512.spread();
    FloatVector sum0 = FloatVector.zero(F);
    FloatVector sum1 = FloatVector.zero(F);
    FloatVector sum2 = FloatVector.zero(F);
    FloatVector sum3 = FloatVector.zero(F);
    for (int u = 0; u < units; u += 2) {
      ByteVector t = Codes512.table(values, scales[before + u >> shift], true).reinterpretAsBytes();
      int c = Codes512.UNIT * u;
      int p = at + Codes512.UNIT_BYTES * u;
      IntVector w = Codes512.pairs(t, spread, packed, p);
      FloatVector v = w.and(HIGH).reinterpretAsFloats();
      sum0 = v.fma(FloatVector.fromArray(F, x, c), sum0);
      v = w.lanewise(VectorOperators.LSHL, 16).reinterpretAsFloats();
      sum1 = v.fma(FloatVector.fromArray(F, x, c + 16), sum1);
      w = Codes512.pairs(t, spread, packed, p + Codes512.UNIT_BYTES);
      v = w.and(HIGH).reinterpretAsFloats();
      sum2 = v.fma(FloatVector.fromArray(F, x, c + 32), sum2);
      v = w.lanewise(VectorOperators.LSHL, 16).reinterpretAsFloats();
      sum3 = v.fma(FloatVector.fromArray(F, x, c + 48), sum3);
    }
    return sum0.add(sum1).add(sum2.add(sum3)).reduceLanes(VectorOperators.ADD);
  }

  /** A unit at a time. */
  private float single(int at, int units, int before, float[] x) {
    byte[] packed = this.packed;
    float[] scales = this.scales;
    boolean round = this.round;
    int shift = this.shift;
    FloatVector values = FloatVector.fromArray(F, codes, 0);
    FloatVector even = FloatVector.zero(F);
    FloatVector odd = FloatVector.zero(F);
    for (int u = 0; u < units; u++) {
      IntVector t = Codes512.table(values, scales[before + u >> shift], round);
      ByteVector bytes = ByteVector.fromArray(B, packed, at + Codes512.UNIT_BYTES * u);
      IntVector b = Codes512.widen(bytes);
      int c = Codes512.UNIT * u;
      FloatVector w = Codes512.even(t, b).reinterpretAsFloats();
      even = w.fma(FloatVector.fromArray(F, x, c), even);
      w = Codes512.odd(t, b).reinterpretAsFloats();
      odd = w.fma(FloatVector.fromArray(F, x, c + Codes512.UNIT / 2), odd);
    }
    return even.add(odd).reduceLanes(VectorOperators.ADD);
  }

  /**
   * Four inputs with one row, whose codes are so read once.
   *
   * @param x holds the inputs one after the other, {@code units · 32} elements each
   * @param from the first input's first element
   * @param sums receives four sums
   */
  public void four(int at, int units, int before, float[] x, int from, float[] sums) {
    byte[] packed = this.packed;
    float[] scales = this.scales;
    boolean round = this.round;
    int shift = this.shift;
    FloatVector values = FloatVector.fromArray(F, codes, 0);
    int row = Codes512.UNIT * units;
    FloatVector sum0 = FloatVector.zero(F);
    FloatVector sum1 = FloatVector.zero(F);
    FloatVector sum2 = FloatVector.zero(F);
    FloatVector sum3 = FloatVector.zero(F);
    for (int u = 0; u < units; u++) {
      IntVector t = Codes512.table(values, scales[before + u >> shift], round);
      ByteVector bytes = ByteVector.fromArray(B, packed, at + Codes512.UNIT_BYTES * u);
      IntVector b = Codes512.widen(bytes);
      int c = from + Codes512.UNIT * u;
      FloatVector w = Codes512.even(t, b).reinterpretAsFloats();
      sum0 = w.fma(FloatVector.fromArray(F, x, c), sum0);
      sum1 = w.fma(FloatVector.fromArray(F, x, c + row), sum1);
      sum2 = w.fma(FloatVector.fromArray(F, x, c + 2 * row), sum2);
      sum3 = w.fma(FloatVector.fromArray(F, x, c + 3 * row), sum3);
      w = Codes512.odd(t, b).reinterpretAsFloats();
      c += Codes512.UNIT / 2;
      sum0 = w.fma(FloatVector.fromArray(F, x, c), sum0);
      sum1 = w.fma(FloatVector.fromArray(F, x, c + row), sum1);
      sum2 = w.fma(FloatVector.fromArray(F, x, c + 2 * row), sum2);
      sum3 = w.fma(FloatVector.fromArray(F, x, c + 3 * row), sum3);
    }
    sums[0] = sum0.reduceLanes(VectorOperators.ADD);
    sums[1] = sum1.reduceLanes(VectorOperators.ADD);
    sums[2] = sum2.reduceLanes(VectorOperators.ADD);
    sums[3] = sum3.reduceLanes(VectorOperators.ADD);
  }
}
