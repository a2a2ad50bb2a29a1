package ai.nibble.nn;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import ai.nibble.autograd.Tape;
import ai.nibble.autograd.Variable;
import ai.nibble.quant.PackedProduct;
import ai.nibble.quant.Quant4Config;
import ai.nibble.quant.Quant4Type;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Tensor;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Products with packed weights, adapters beside them, against one product of all together. */
class PackedGroupTest extends FunctionTestCase {
  private static final int IN = 96;
  private static final int[] OUTS = {64, 7, 33};

  @BeforeEach
  void needsRegisters() {
    assumeTrue(
        PackedProduct.isAvailable(),
        "skipped: needs 512-bit registers and --add-modules jdk.incubator.vector");
  }

  /** Adapters of rank 2 and 5 on the outer two, a bias on the first. */
  private LinearGroup group(boolean adapted) {
    Map<String, long[]> shapes = new LinkedHashMap<>();
    for (int m = 0; m < OUTS.length; m += 2) {
      shapes.put("a" + m, new long[] {2 + 3 * m / 2, IN});
      shapes.put("b" + m, new long[] {OUTS[m], 2 + 3 * m / 2});
    }
    ParameterSet parameters = scope.own(new ParameterSet(shapes));
    float[] drawn = Oracle.gaussians(7, (int) parameters.numel(), 0.3);
    parameters.values().floats().put(0, drawn);
    List<Linear> members = new ArrayList<>();
    for (int m = 0; m < OUTS.length; m++) {
      float[] values = Oracle.gaussians(10 + m, OUTS[m] * IN, 0.2);
      Quant4Weight weight =
          Quant4Weight.quantize(
              "m" + m,
              new Quant4Config(Quant4Type.NF4, 64, m == 1),
              DType.FLOAT32,
              OUTS[m],
              IN,
              (first, into, n) -> System.arraycopy(values, (int) first, into, 0, n));
      Linear linear = new Linear("m" + m, weight, m == 0 ? Oracle.gaussian(20, 1, OUTS[m]) : null);
      if (adapted && m != 1) {
        linear.attach(new LowRank(parameters.get("a" + m), parameters.get("b" + m), 1.5 + m, 0.5));
      }
      members.add(linear);
    }
    return scope.own(new LinearGroup(0, members));
  }

  private float[] outputs(LinearGroup group, Tensor x, Precision precision) {
    try (Tape tape = Tape.inference()) {
      Variable input = tape.constant(x.to(precision.compute()));
      Pass pass = Pass.evaluating(0, (int) x.size(0));
      return group.apply(tape, input, pass, precision, work).value().toFloats();
    }
  }

  @ParameterizedTest
  @CsvSource({
    "FLOAT32, FLOAT32, true",
    "FLOAT32, FLOAT32, false",
    "BFLOAT16, BFLOAT16, true",
    "BFLOAT16, BFLOAT16, false",
    "BFLOAT16, FLOAT32, true"
  })
  void outputsAreThoseOfTheDequantisedGroup(DType compute, DType product, boolean adapted) {
    Precision precision = new Precision(compute, product);
    LinearGroup group = group(adapted);
    assertTrue(group.canReadPacked(precision));
    for (int n : new int[] {1, 2, 5, PackedProduct.MAX_ROWS, PackedProduct.MAX_ROWS + 1}) {
      Tensor x = input(n, n, IN);
      float[] expected = outputs(group, x, precision);
      group.readPacked(precision);
      assertTrue((group.packedFor(n) != null) == (n <= PackedProduct.MAX_ROWS));
      Oracle.assertClose(
          "outputs of " + n, expected, outputs(group, x, precision), tolerance(compute));
      group.dropPacked();
      assertArrayEquals(expected, outputs(group, x, precision));
    }
  }

  @Test
  void theBytesThatReadingPackedTakesAreTheAdapters() {
    Precision precision = new Precision(DType.BFLOAT16, DType.BFLOAT16);
    assertEquals(0, group(false).packedBytes(precision));
    // rank 2 + 5: A in bfloat16, B in float32
    assertEquals(7 * (IN * 2 + (64 + 7 + 33) * 4), group(true).packedBytes(precision));
  }

  @Test
  void aGroupWithAWeightOfAnotherKindIsNotReadPacked() {
    Linear dense = new Linear("d", new DenseWeight(Oracle.gaussian(1, 1, 4, IN)), null);
    assertFalse(
        scope.own(new LinearGroup(0, List.of(dense))).canReadPacked(Precision.of(DType.FLOAT32)));
  }
}
