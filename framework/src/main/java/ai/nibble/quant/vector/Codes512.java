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
}
