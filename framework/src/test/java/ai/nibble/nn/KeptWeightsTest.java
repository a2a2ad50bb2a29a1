package ai.nibble.nn;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.autograd.Tape;
import ai.nibble.quant.ElementSource;
import ai.nibble.quant.Quant4Config;
import ai.nibble.quant.Quant4Type;
import ai.nibble.quant.Quant8Config;
import ai.nibble.quant.Quantizer4Bit;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Device;
import ai.nibble.tensor.HostKernels;
import ai.nibble.tensor.KernelLaunchers;
import ai.nibble.tensor.Tensor;
import ai.nibble.tensor.TensorMemory;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Weights that stay dequantised: what is computed has the bits of weights that do not. */
class KeptWeightsTest extends FunctionTestCase {
  private static final int ROWS = 11;
  private static final int IN = 96;
  private static final int[] OUTS = {16, 8, 24};

  /** A weight that counts how often it is dequantised. */
  private static final class Counting implements Weight {
    private final Weight held;
    private int writes;

    Counting(Weight held) {
      this.held = held;
    }

    @Override
    public long outFeatures() {
      return held.outFeatures();
    }

    @Override
    public long inFeatures() {
      return held.inFeatures();
    }

    @Override
    public Device device() {
      return held.device();
    }

    @Override
    public long bytes() {
      return held.bytes();
    }

    @Override
    public String format() {
      return held.format();
    }

    @Override
    public void writeTo(Tensor destination, long firstRow, Precision precision) {
      writes++;
      held.writeTo(destination, firstRow, precision);
    }

    @Override
    public void close() {
      held.close();
    }
  }

  private static Weight weight(String form, int member) {
    float[] values = Oracle.gaussians(10 + member, OUTS[member] * IN, 0.3);
    if (form.equals("int8")) {
      ElementSource source = (first, into, n) -> System.arraycopy(values, (int) first, into, 0, n);
      return Quant8Weight.quantize("w", new Quant8Config(6, List.of()), OUTS[member], IN, source);
    }
    try (Tensor plain = Tensor.of(values, OUTS[member], IN)) {
      if (form.equals("dense")) {
        return new DenseWeight(plain.share());
      }
      Quant4Type type = form.equals("fp4") ? Quant4Type.FP4 : Quant4Type.NF4;
      Quant4Config config = new Quant4Config(type, 64, form.equals("fp4"));
      return new Quant4Weight(Quantizer4Bit.quantize("w", plain, config));
    }
  }

  /** Three members, a bias on the first. */
  private LinearGroup group(String form) {
    List<Linear> members = new ArrayList<>();
    for (int m = 0; m < OUTS.length; m++) {
      Tensor bias = m == 0 ? Oracle.gaussian(20, 1, OUTS[m]) : null;
      members.add(new Linear("m" + m, weight(form, m), bias));
    }
    return scope.own(new LinearGroup(3, members));
  }

  /** Values of adapters on the outer two members. */
  private ParameterSet parameters(int rank) {
    Map<String, long[]> shapes = new LinkedHashMap<>();
    for (int m : new int[] {0, 2}) {
      shapes.put("a" + m, new long[] {rank, IN});
      shapes.put("b" + m, new long[] {OUTS[m], rank});
      shapes.put("m" + m, new long[] {OUTS[m]});
    }
    ParameterSet parameters = scope.own(new ParameterSet(shapes));
    write(parameters, 30);
    return parameters;
  }

  private static void write(ParameterSet parameters, long seed) {
    parameters.values().floats().put(0, Oracle.gaussians(seed, (int) parameters.numel(), 0.2));
    for (int m : new int[] {0, 2}) {
      float[] magnitudes = Oracle.gaussians(seed + m, OUTS[m], 0.3);
      for (int o = 0; o < magnitudes.length; o++) {
        magnitudes[o] += 2.5f;
      }
      parameters.get("m" + m).value().floats().put(0, magnitudes);
    }
  }

  private static void attach(
      LinearGroup group, ParameterSet parameters, double dropout, boolean dora) {
    for (int m : new int[] {0, 2}) {
      Optional<Parameter> magnitude =
          dora ? Optional.of(parameters.get("m" + m)) : Optional.empty();
      group
          .members()
          .get(m)
          .attach(
              new LowRank(
                  parameters.get("a" + m),
                  parameters.get("b" + m),
                  1.5 + m,
                  dropout,
                  magnitude,
                  Optional.empty()));
    }
  }

  private static void takeOff(LinearGroup group) {
    group.members().forEach(member -> member.attach(null));
  }

  /** Output, gradient of the input and gradients of the adapters. */
  private List<float[]> step(LinearGroup group, Precision precision, ParameterSet... sets) {
    for (ParameterSet set : sets) {
      set.grads().zero();
    }
    Pass pass = new Pass(new int[] {0, ROWS}, true, 77);
    Oracle.Result seen =
        Oracle.onTape(
            (tape, in) -> group.apply(tape, in.get(0), pass, precision, work),
            List.of(input(7, ROWS, IN)),
            precision.compute(),
            99);
    List<float[]> all = new ArrayList<>(List.of(seen.output()));
    all.addAll(seen.gradients());
    for (ParameterSet set : sets) {
      all.add(set.grads().toFloats());
    }
    return all;
  }

  private float[] evaluated(LinearGroup group, Precision precision) {
    try (Tape tape = Tape.inference()) {
      Pass pass = Pass.evaluating(0, ROWS);
      return group
          .apply(
              tape,
              tape.constant(input(7, ROWS, IN).to(precision.compute())),
              pass,
              precision,
              work)
          .value()
          .toFloats();
    }
  }

  /**
   * All that may come between two products: values that change, adapters taken off, another pair of
   * another rank, the first again.
   *
   * @param changed called after adapters of another rank came or went
   */
  private List<float[]> history(
      LinearGroup group, Precision precision, double dropout, boolean dora, Runnable changed) {
    ParameterSet first = parameters(3);
    ParameterSet second = parameters(5);
    takeOff(group);
    attach(group, first, dropout, dora);
    changed.run();
    List<float[]> seen = new ArrayList<>(step(group, precision, first));
    write(first, 50);
    seen.addAll(step(group, precision, first));
    seen.add(evaluated(group, precision));
    takeOff(group);
    seen.add(evaluated(group, precision)); // a reference's pass
    attach(group, first, dropout, dora);
    seen.addAll(step(group, precision, first));
    takeOff(group);
    changed.run();
    seen.add(evaluated(group, precision));
    attach(group, second, dropout, dora);
    changed.run();
    seen.addAll(step(group, precision, second));
    takeOff(group);
    attach(group, first, dropout, dora);
    changed.run();
    write(first, 60);
    seen.addAll(step(group, precision, first));
    return seen;
  }

  private static void assertSame(List<float[]> expected, List<float[]> seen) {
    assertEquals(expected.size(), seen.size());
    for (int i = 0; i < expected.size(); i++) {
      assertArrayEquals(expected.get(i), seen.get(i), "part " + i);
    }
  }

  private void noBitChanges(DType dtype, String form, double dropout, boolean dora) {
    Precision precision = precision(dtype);
    LinearGroup group = group(form);
    List<float[]> expected = history(group, precision, dropout, dora, () -> {});
    // kept once, and kept again after each change
    takeOff(group);
    group.keepWeights(precision);
    assertSame(expected, history(group, precision, dropout, dora, () -> {}));
    List<float[]> seen =
        history(group, precision, dropout, dora, () -> group.keepWeights(precision));
    assertSame(expected, seen);
    assertTrue(group.keepsWeights());
    group.dropWeights();
    assertSame(expected, history(group, precision, dropout, dora, () -> {}));
  }

  @ParameterizedTest
  @CsvSource({
    "FLOAT32, nf4, 0, false", "FLOAT32, nf4, 0.3, false", "BFLOAT16, nf4, 0, false",
    "BFLOAT16, nf4, 0.3, true", "FLOAT32, nf4, 0, true", "BFLOAT16, fp4, 0.3, false",
    "FLOAT16, nf4, 0.3, false", "BFLOAT16, int8, 0.3, false", "FLOAT32, int8, 0, false",
    "BFLOAT16, dense, 0, true", "FLOAT32, dense, 0.3, false"
  })
  void noBitChangesOnTheCpu(DType dtype, String form, double dropout, boolean dora) {
    noBitChanges(dtype, form, dropout, dora);
  }

  @ParameterizedTest
  @CsvSource({
    "FLOAT32, nf4, 0, false", "FLOAT32, nf4, 0.3, true", "BFLOAT16, nf4, 0, false",
    "BFLOAT16, fp4, 0.3, false", "FLOAT16, nf4, 0, false", "BFLOAT16, int8, 0, false"
  })
  void noBitChangesByKernels(DType dtype, String form, double dropout, boolean dora) {
    KernelLaunchers.Installation kernels = HostKernels.install();
    try (kernels) {
      noBitChanges(dtype, form, dropout, dora);
    }
  }

  /** Three members, forward and backward of three steps, a pass without adapters between them. */
  @Test
  void keptWeightsAreDequantisedOnce() {
    Precision precision = Precision.of(DType.FLOAT32);
    List<Counting> weights = new ArrayList<>();
    List<Linear> members = new ArrayList<>();
    for (int m = 0; m < OUTS.length; m++) {
      weights.add(new Counting(weight("nf4", m)));
      members.add(new Linear("m" + m, weights.get(m), null));
    }
    LinearGroup group = scope.own(new LinearGroup(0, members));
    ParameterSet parameters = parameters(4);
    attach(group, parameters, 0, false);
    step(group, precision, parameters);
    assertEquals(List.of(2, 2, 2), weights.stream().map(w -> w.writes).toList());
    group.keepWeights(precision);
    for (int i = 0; i < 3; i++) {
      step(group, precision, parameters);
      takeOff(group);
      evaluated(group, precision);
      attach(group, parameters, 0, false);
    }
    group.keepWeights(precision);
    takeOff(group);
    group.keepWeights(precision); // of another width, from what is kept
    evaluated(group, precision);
    assertEquals(List.of(3, 3, 3), weights.stream().map(w -> w.writes).toList());
    group.dropWeights();
    evaluated(group, precision);
    assertEquals(List.of(4, 4, 4), weights.stream().map(w -> w.writes).toList());
  }

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void theBytesThatItTakesAreKnown(boolean adapted) {
    for (DType dtype : List.of(DType.FLOAT32, DType.BFLOAT16)) {
      Precision precision = Precision.of(dtype);
      LinearGroup group = group("nf4");
      if (adapted) {
        attach(group, parameters(4), 0, false);
      }
      long before = TensorMemory.heldBytes(Device.Type.CPU);
      group.keepWeights(precision);
      long taken = TensorMemory.heldBytes(Device.Type.CPU) - before;
      assertEquals(48L * (IN + (adapted ? 8 : 0)) * precision.product().bytes(), taken);
      assertEquals(taken, group.keptBytes(precision));
      Extent extent = new Extent(new int[] {0, 1}, precision, Device.Type.CPU, false, 1);
      assertEquals(taken, group.shape().keptBytes(extent));
    }
  }

  /** As generation has it: B and magnitudes are what they were then. */
  @Test
  void adaptersMayBeFixed() {
    Precision precision = Precision.of(DType.BFLOAT16);
    LinearGroup group = group("nf4");
    ParameterSet parameters = parameters(4);
    ParameterSet others = parameters(4);
    attach(group, parameters, 0, true);
    assertThrows(IllegalStateException.class, group::fixAdapters);
    float[] before = evaluated(group, precision);
    group.keepWeights(precision);
    group.fixAdapters();
    assertArrayEquals(before, evaluated(group, precision));
    parameters.get("b0").value().floats().put(0, Oracle.gaussians(50, 4 * OUTS[0], 0.2));
    parameters.get("m2").value().floats().put(0, Oracle.gaussians(51, OUTS[2], 0.2));
    assertArrayEquals(before, evaluated(group, precision));
    group.fixAdapters();
    float[] after = evaluated(group, precision);
    group.freeAdapters();
    assertArrayEquals(after, evaluated(group, precision));
    group.dropWeights();
    assertArrayEquals(after, evaluated(group, precision));
    assertFalse(Arrays.equals(before, after));

    group.keepWeights(precision);
    group.fixAdapters();
    attach(group, others, 0, false);
    IllegalStateException e =
        assertThrows(IllegalStateException.class, () -> evaluated(group, precision));
    assertTrue(e.getMessage().startsWith("the adapter on m0 or its siblings changed"), "" + e);
    takeOff(group);
    assertThrows(IllegalStateException.class, () -> evaluated(group, precision));
    group.fixAdapters(); // rows are of another width: not fixed, and right
    float[] without = evaluated(group, precision);
    group.dropWeights();
    assertArrayEquals(without, evaluated(group, precision));
  }
}
