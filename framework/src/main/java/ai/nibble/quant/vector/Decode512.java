package ai.nibble.quant.vector;

import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.LongVector;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorSpecies;

/**
 * Decodes packed 4-bit codes to bfloat16 in 512-bit registers. Loading the class needs the module
 * {@code jdk.incubator.vector}.
 */
public final class Decode512 {
  private static final VectorSpecies<Long> L = LongVector.SPECIES_128;

  private Decode512() {}

  /**
   * Decodes units of 32 elements.
   *
   * @param codes the 16 values
   * @param groups two a unit: 16 codes each, lowest byte first, high nibble first
   * @param scales absmax by block
   * @param before units of the first block that lie before
   * @param shift binary logarithm of the units in a block
   * @param words receives 16 a unit, each of two values, the first of them in the low half
   */
  public static void bfloat16(
      float[] codes, long[] groups, int units, float[] scales, int before, int shift, int[] words) {
    FloatVector values = FloatVector.fromArray(Codes512.FLOATS, codes, 0);
    for (int u = 0; u < units; u++) {
      IntVector t = Codes512.table(values, scales[before + u >> shift], true);
      IntVector b = Codes512.widen(LongVector.fromArray(L, groups, 2 * u).reinterpretAsBytes());
      IntVector first = Codes512.even(t, b).lanewise(VectorOperators.LSHR, 16);
      first.or(Codes512.odd(t, b)).intoArray(words, 16 * u);
    }
  }
}
