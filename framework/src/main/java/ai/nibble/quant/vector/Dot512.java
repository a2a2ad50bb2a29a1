package ai.nibble.quant.vector;

import jdk.incubator.vector.ByteVector;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorSpecies;

/**
 * Dot products of inputs with rows of packed 4-bit codes, in 512-bit registers. A register holds
 * the values of the 16 codes times a block's absmax; codes pick from it, and what they pick meets
 * the input in float32 multiply-adds.
 *
 * <p>A unit is 32 elements, 16 bytes: their high nibbles are the elements of even index, their low
 * nibbles those of odd index. Inputs lie in that order, unit by unit: 16 even ones, 16 odd ones.
 *
 * <p>An instance serves one thread. Loading the class needs the module {@code
 * jdk.incubator.vector}.
 */
public final class Dot512 {
  /** Inputs that {@link #four} takes. */
  public static final int FOUR = 4;

  private static final VectorSpecies<Float> F = FloatVector.SPECIES_512;
  private static final VectorSpecies<Integer> I = IntVector.SPECIES_512;
  private static final VectorSpecies<Byte> B = ByteVector.SPECIES_128;
  private static final int UNIT_BYTES = 16;
  private static final int UNIT = 32;

  private final float[] codes;
  private final boolean round;
  private final int shift;
  private final byte[] packed;
  private final float[] scales;

  /**
   * @param codes the 16 values
   * @param round whether code times absmax is rounded to bfloat16
   * @param shift binary logarithm of the units in a block
   * @param packed where rows are put before they are read
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
    return FloatVector.SPECIES_PREFERRED == F;
  }

  /**
   * One input with one row.
   *
   * @param at first byte of the row
   * @param units of the row
   * @param block entry of the scales that the row begins in
   * @param phase units of that block that lie before the row
   * @param x holds the input
   * @param from its first element
   */
  public float one(int at, int units, int block, int phase, float[] x, int from) {
    FloatVector values = FloatVector.fromArray(F, codes, 0);
    FloatVector even = FloatVector.zero(F);
    FloatVector odd = FloatVector.zero(F);
    int end = Math.min(units, (1 << shift) - phase);
    for (int u = 0; u < units; end = Math.min(units, end + (1 << shift))) {
      IntVector table = table(values.mul(scales[block++]));
      for (; u < end; u++) {
        IntVector bytes = bytes(at + UNIT_BYTES * u);
        even = high(table, bytes).fma(FloatVector.fromArray(F, x, from + UNIT * u), even);
        odd = low(table, bytes).fma(FloatVector.fromArray(F, x, from + UNIT * u + UNIT / 2), odd);
      }
    }
    return even.add(odd).reduceLanes(VectorOperators.ADD);
  }

  /**
   * Four inputs with one row, whose codes are so read once.
   *
   * @param x holds the inputs one after the other, {@code units · 32} elements each
   * @param sums receives four sums
   */
  public void four(int at, int units, int block, int phase, float[] x, int from, float[] sums) {
    FloatVector values = FloatVector.fromArray(F, codes, 0);
    FloatVector sum0 = FloatVector.zero(F);
    FloatVector sum1 = FloatVector.zero(F);
    FloatVector sum2 = FloatVector.zero(F);
    FloatVector sum3 = FloatVector.zero(F);
    int row = UNIT * units;
    int end = Math.min(units, (1 << shift) - phase);
    for (int u = 0; u < units; end = Math.min(units, end + (1 << shift))) {
      IntVector table = table(values.mul(scales[block++]));
      for (; u < end; u++) {
        IntVector bytes = bytes(at + UNIT_BYTES * u);
        FloatVector w = high(table, bytes);
        int c = from + UNIT * u;
        sum0 = w.fma(FloatVector.fromArray(F, x, c), sum0);
        sum1 = w.fma(FloatVector.fromArray(F, x, c + row), sum1);
        sum2 = w.fma(FloatVector.fromArray(F, x, c + 2 * row), sum2);
        sum3 = w.fma(FloatVector.fromArray(F, x, c + 3 * row), sum3);
        w = low(table, bytes);
        c += UNIT / 2;
        sum0 = w.fma(FloatVector.fromArray(F, x, c), sum0);
        sum1 = w.fma(FloatVector.fromArray(F, x, c + row), sum1);
        sum2 = w.fma(FloatVector.fromArray(F, x, c + 2 * row), sum2);
        sum3 = w.fma(FloatVector.fromArray(F, x, c + 3 * row), sum3);
      }
    }
    sums[0] = sum0.reduceLanes(VectorOperators.ADD);
    sums[1] = sum1.reduceLanes(VectorOperators.ADD);
    sums[2] = sum2.reduceLanes(VectorOperators.ADD);
    sums[3] = sum3.reduceLanes(VectorOperators.ADD);
  }

  /** A block's values as float32 bits, rounded to nearest even where they are to be bfloat16. */
  private IntVector table(FloatVector values) {
    IntVector bits = values.reinterpretAsInts();
    if (round) {
      IntVector tie = bits.lanewise(VectorOperators.LSHR, 16).and(1);
      return bits.add(tie).add(0x7FFF).and(0xFFFF0000);
    }
    return bits;
  }

  /** A unit's bytes, sign-extended: the zero-extending conversion fails on JDK 17. */
  private IntVector bytes(int at) {
    return (IntVector) ByteVector.fromArray(B, packed, at).convertShape(VectorOperators.B2I, I, 0);
  }

  private static FloatVector high(IntVector table, IntVector bytes) {
    return pick(table, bytes.lanewise(VectorOperators.LSHR, 4).and(15));
  }

  private static FloatVector low(IntVector table, IntVector bytes) {
    return pick(table, bytes.and(15));
  }

  private static FloatVector pick(IntVector table, IntVector indices) {
    return table.rearrange(indices.toShuffle()).reinterpretAsFloats();
  }
}
