package ai.nibble.quant.vector;

import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.LongVector;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorSpecies;

/**
 * Decodes packed 4-bit codes to bfloat16 in 512-bit registers: a block's 16 values are rounded
 * once, and codes pick from them. Loading the class needs the module {@code jdk.incubator.vector}.
 */
public final class Decode512 {
  private static final VectorSpecies<Float> F = FloatVector.SPECIES_512;
  private static final VectorSpecies<Integer> I = IntVector.SPECIES_512;
  private static final VectorSpecies<Long> L = LongVector.SPECIES_128;

  private Decode512() {}

  /**
   * Decodes units of 32 elements, none of which lies in two blocks.
   *
   * @param codes the 16 values
   * @param groups two a unit: 16 codes each, lowest byte first, high nibble first
   * @param units to decode
   * @param scales absmax by block
   * @param phase units of the first block that lie before
   * @param shift binary logarithm of the units in a block
   * @param words receives 16 a unit, each of two values, the first of them in the low half
   */
  public static void bfloat16(
      float[] codes, long[] groups, int units, float[] scales, int phase, int shift, int[] words) {
    FloatVector values = FloatVector.fromArray(F, codes, 0);
    int block = 0;
    int end = Math.min(units, (1 << shift) - phase);
    for (int u = 0; u < units; end = Math.min(units, end + (1 << shift))) {
      IntVector bits = values.mul(scales[block++]).reinterpretAsInts();
      IntVector tie = bits.lanewise(VectorOperators.LSHR, 16).and(1);
      IntVector rounded = bits.add(tie).add(0x7FFF);
      IntVector second = rounded.and(0xFFFF0000);
      IntVector first = rounded.lanewise(VectorOperators.LSHR, 16);
      for (; u < end; u++) {
        IntVector bytes =
            (IntVector)
                LongVector.fromArray(L, groups, 2 * u)
                    .reinterpretAsBytes()
                    .convertShape(VectorOperators.B2I, I, 0);
        IntVector high = bytes.lanewise(VectorOperators.LSHR, 4).and(15);
        first
            .rearrange(high.toShuffle())
            .or(second.rearrange(bytes.and(15).toShuffle()))
            .intoArray(words, 16 * u);
      }
    }
  }
}
