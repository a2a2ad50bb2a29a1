package ai.nibble.quant.vector;

import jdk.incubator.vector.ByteVector;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorSpecies;

/**
 * From packed 4-bit codes to values, 16 at a time in 512-bit registers: one register holds what the
 * 16 codes stand for in a block, and codes pick from it.
 *
 * <p>A unit is 32 elements, 16 bytes: their high nibbles are the elements of even index, their low
 * nibbles those of odd index. The smallest block is one unit, so no unit lies in two blocks.
 */
final class Codes512 {
  static final int UNIT = 32;
  static final int UNIT_BYTES = 16;

  static final VectorSpecies<Float> FLOATS = FloatVector.SPECIES_512;
  static final VectorSpecies<Integer> INTS = IntVector.SPECIES_512;
  static final VectorSpecies<Byte> BYTES = ByteVector.SPECIES_128;
  static final VectorSpecies<Byte> WIDE = ByteVector.SPECIES_512;

  /** What {@link #spread} is made of. */
  private static final byte[] FOUR_TIMES = new byte[64];

  static {
    for (int i = 0; i < FOUR_TIMES.length; i++) {
      FOUR_TIMES[i] = (byte) (i / 4);
    }
  }

  private Codes512() {}

  /**
   * What the codes stand for in a block, as float32 bits. Kernels compute this anew for each unit:
   * HotSpot (JDK 17) keeps no vector in a register across two nested loops, and from memory it
   * comes no faster.
   *
   * @param codes the 16 values
   * @param round whether code times absmax is rounded to bfloat16, to nearest even
   */
  static IntVector table(FloatVector codes, float absmax, boolean round) {
    IntVector bits = codes.mul(absmax).reinterpretAsInts();
    if (!round) {
      return bits;
    }
    IntVector tie = bits.lanewise(VectorOperators.LSHR, 16).and(1);
    return bits.add(tie).add(0x7FFF).and(0xFFFF0000);
  }

  /** A unit's bytes as ints, sign-extended: the zero-extending conversion fails on JDK 17. */
  static IntVector widen(ByteVector bytes) {
    return (IntVector) bytes.convertShape(VectorOperators.B2I, INTS, 0);
  }

  /** The unit's 16 elements of even index. */
  static IntVector even(IntVector table, IntVector bytes) {
    return table.rearrange(bytes.lanewise(VectorOperators.LSHR, 4).and(15).toShuffle());
  }

  /** The unit's 16 elements of odd index. */
  static IntVector odd(IntVector table, IntVector bytes) {
    return table.rearrange(bytes.and(15).toShuffle());
  }

  /** Each of the first 16 bytes four times. */
  static ByteVector spread() {
    return ByteVector.fromArray(WIDE, FOUR_TIMES, 0);
  }

  /**
   * A unit's values in bfloat16, two an int: of odd index in the low half, of even in the high.
   * Bytes are looked up instead of ints: that takes one look-up, and none of the conversions
   * between ints and the bytes that HotSpot's shuffles are (JDK 17). Callers take the halves apart
   * in line: with a method for it HotSpot makes an object of each vector.
   *
   * @param table of {@link #table}, rounded, as bytes: what code c stands for is in 4c+2 and 4c+3
   * @param spread of {@link #spread}
   * @param packed has 64 bytes from {@code at} on, of which the first 16 are the unit
   */
  static IntVector pairs(ByteVector table, ByteVector spread, byte[] packed, int at) {
    ByteVector bytes = ByteVector.fromArray(WIDE, packed, at).rearrange(spread.toShuffle());
    IntVector four = bytes.reinterpretAsInts();
    IntVector low = four.lanewise(VectorOperators.LSHL, 2).and(0x00003C3C);
    IntVector high = four.lanewise(VectorOperators.LSHR, 2).and(0x3C3C0000);
    IntVector index = low.or(high).or(0x03020302);
    return table.rearrange(index.reinterpretAsBytes().toShuffle()).reinterpretAsInts();
  }
}
