package ai.nibble.lora;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.InvalidInputException;
import ai.nibble.autograd.Tape;
import ai.nibble.autograd.Variable;
import ai.nibble.nn.DenseWeight;
import ai.nibble.nn.Linear;
import ai.nibble.nn.LinearGroup;
import ai.nibble.nn.LowRank;
import ai.nibble.nn.Parameter;
import ai.nibble.nn.ParameterSet;
import ai.nibble.nn.Pass;
import ai.nibble.nn.Precision;
import ai.nibble.nn.Quant4Weight;
import ai.nibble.nn.Workspace;
import ai.nibble.quant.Quant4Config;
import ai.nibble.quant.Quant4Type;
import ai.nibble.safetensors.SafetensorsFile;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Scope;
import ai.nibble.tensor.Tensor;
import java.net.URISyntaxException;
import java.nio.FloatBuffer;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** First values of adapters against PEFT's, whose singular vectors may have other signs. */
class InitialisationsTest {
  private static final int OUT = 24;
  private static final int IN = 64;
  private static final int R = 4;
  private static final double SCALING = 2;
  private static final float RATE = 0.001f;

  private long liveBefore;
  private Scope scope;
  private SafetensorsFile golden;

  @BeforeEach
  void open() throws URISyntaxException {
    liveBefore = Tensor.live();
    scope = new Scope();
    Path file =
        Path.of(InitialisationsTest.class.getResource("initialisations.safetensors").toURI());
    golden = scope.own(SafetensorsFile.open(file));
  }

  @AfterEach
  void everyTensorIsClosed() {
    scope.close();
    assertEquals(liveBefore, Tensor.live());
  }

  private float[] golden(String name) {
    float[] values = new float[Math.toIntExact(golden.tensor(name).elements())];
    golden.readFloats(name, 0, values, 0, values.length);
    return values;
  }

  private Tensor weight() {
    return Tensor.of(golden("weight"), OUT, IN);
  }

  private static AdapterInit.Place place(double scaling) {
    return new AdapterInit.Place("model.layers.0.self_attn.q_proj", OUT, IN, R, scaling);
  }

  /** {@code factor · B·A}, {@code [out, in]}. */
  private static float[] product(float[] a, float[] b, double factor) {
    int r = a.length / IN;
    float[] product = new float[OUT * IN];
    for (int o = 0; o < OUT; o++) {
      for (int i = 0; i < IN; i++) {
        double sum = 0;
        for (int k = 0; k < r; k++) {
          sum += (double) b[o * r + k] * a[k * IN + i];
        }
        product[o * IN + i] = (float) (factor * sum);
      }
    }
    return product;
  }

  /** Relative to the norm. */
  private static void assertClose(String what, float[] expected, float[] actual, double tolerance) {
    double difference = 0;
    double norm = 0;
    for (int i = 0; i < expected.length; i++) {
      difference += Math.pow(expected[i] - actual[i], 2);
      norm += Math.pow(expected[i], 2);
    }
    assertEquals(0, Math.sqrt(difference / norm), tolerance, what);
  }

  /** Both decompositions are LAPACK's in float32; a randomised one has settled to 1e-4. */
  @ParameterizedTest
  @CsvSource({"pissa, pissa, 1e-5", "pissa_niter_16, pissa, 1e-4", "olora, olora, 1e-5"})
  void aStepFromThemEndsWherePeftsDoes(String how, String name, double tolerance) {
    AdapterInit init = new AdapterInit(InitLoraWeights.of(how).orElseThrow(), 1);
    AdapterInit.Matrices first = init.of(place(SCALING), this::weight);
    float[] begun = product(first.a(), first.b(), SCALING);
    assertClose("begun", golden(name + ".begun"), begun, tolerance);
    float[] residual = golden("weight");
    for (int i = 0; i < residual.length; i++) {
      residual[i] -= begun[i];
    }
    assertClose("residual", golden(name + ".residual"), residual, tolerance);

    Map<String, long[]> shapes = new LinkedHashMap<>();
    shapes.put("a", new long[] {R, IN});
    shapes.put("b", new long[] {OUT, R});
    ParameterSet parameters = scope.own(new ParameterSet(shapes));
    Parameter a = parameters.get("a");
    Parameter b = parameters.get("b");
    a.value().setFloats(FloatBuffer.wrap(first.a()));
    b.value().setFloats(FloatBuffer.wrap(first.b()));
    float[] minus = first.b().clone();
    for (int i = 0; i < minus.length; i++) {
      minus[i] = -minus[i];
    }
    LowRank.Fixed pair =
        new LowRank.Fixed(
            scope.own(Tensor.of(first.a(), R, IN)), scope.own(Tensor.of(minus, OUT, R)));
    LowRank update = new LowRank(a, b, SCALING, 0, Optional.empty(), Optional.of(pair));
    Linear linear = new Linear("q_proj", new DenseWeight(weight()), null);
    linear.attach(update);
    LinearGroup group = scope.own(new LinearGroup(0, List.of(linear)));
    output(group, true);
    for (Parameter p : List.of(a, b)) {
      FloatBuffer values = p.value().floats();
      FloatBuffer grads = p.grad().floats();
      for (int i = 0; i < values.limit(); i++) {
        values.put(i, values.get(i) - RATE * grads.get(i));
      }
    }
    float[] stepped = product(a.value().toFloats(), b.value().toFloats(), SCALING);
    assertClose("stepped", golden(name + ".stepped"), stepped, tolerance);
    assertClose("output", golden(name + ".output"), output(group, false), tolerance);
    try (Tensor down = update.down();
        Tensor up = update.up()) {
      float[] converted = product(down.toFloats(), up.toFloats(), SCALING);
      // a difference of products: what these are off by is relative to them
      double norms = norm(golden(name + ".stepped")) / norm(golden(name + ".converted"));
      assertClose("converted", golden(name + ".converted"), converted, 4 * tolerance * norms);
    }
  }

  private static double norm(float[] values) {
    double squares = 0;
    for (float v : values) {
      squares += (double) v * v;
    }
    return Math.sqrt(squares);
  }

  private float[] output(LinearGroup group, boolean backward) {
    Pass pass = new Pass(new int[] {0, 7}, true, 1);
    try (Tape tape = backward ? Tape.recording() : Tape.inference();
        Workspace work = new Workspace()) {
      Variable x = tape.constant(Tensor.of(golden("x"), 7, IN));
      Variable y = group.apply(tape, x, pass, Precision.of(DType.FLOAT32), work);
      float[] values = y.value().toFloats();
      if (backward) {
        tape.backward(y, Tensor.of(golden("dy"), 7, OUT));
      }
      return values;
    }
  }

  /** PEFT draws no more directions than the rank, which leaves its product further off. */
  @Test
  void passesOfARandomisedDecompositionComeCloserThanPefts() {
    float[] exact = golden("pissa.begun");
    float[] pefts = golden("pissa_niter_16.begun");
    AdapterInit.Matrices ours =
        new AdapterInit(InitLoraWeights.pissa(16), 1).of(place(SCALING), this::weight);
    float[] product = product(ours.a(), ours.b(), SCALING);
    for (int i = 0; i < exact.length; i++) {
      pefts[i] -= exact[i];
      product[i] -= exact[i];
    }
    assertEquals(0.016, norm(pefts) / norm(exact), 0.002);
    assertTrue(norm(product) < 0.1 * norm(pefts));
  }

  /** With a scaling of 1 as PEFT computes it; with another B·A is divided by it. */
  @ParameterizedTest
  @CsvSource({"1", "4"})
  void loftQBeginsWithWhatQuantisationTook(double scaling) {
    Tensor weight = scope.own(weight());
    float[] values = weight.toFloats();
    Quant4Config nf4 = new Quant4Config(Quant4Type.NF4, 64, false);
    float[] held;
    try (Quant4Weight quantised =
            Quant4Weight.quantize(
                "w",
                nf4,
                DType.FLOAT32,
                OUT,
                IN,
                (first, into, n) -> System.arraycopy(values, (int) first, into, 0, n));
        Tensor dequantised = Tensor.empty(DType.FLOAT32, OUT, IN)) {
      quantised.writeTo(dequantised, 0, Precision.of(DType.FLOAT32));
      held = dequantised.toFloats();
    }
    assertClose("held", golden("loftq.held"), held, 1e-7);
    float[] lost = values.clone();
    for (int i = 0; i < lost.length; i++) {
      lost[i] -= held[i];
    }
    AdapterInit.Matrices first =
        new AdapterInit(InitLoraWeights.LOFTQ, 1)
            .of(place(scaling), () -> Tensor.of(lost, OUT, IN));
    float[] product = product(first.a(), first.b(), scaling);
    assertClose("begun", golden("loftq.begun"), product, 1e-4);
  }

  @Test
  void orthogonalMatricesHaveNoProduct() {
    AdapterInit.Matrices first =
        new AdapterInit(InitLoraWeights.ORTHOGONAL, 1).of(place(SCALING), null);
    for (float v : product(first.a(), first.b(), 1)) {
      assertEquals(0, v, 1e-6);
    }
    // entries are sums of two products of a normal by a tenth of a unit vector's element
    assertEquals(Math.sqrt(OUT * R * 0.01 / 2), norm(first.b()), 0.25);
    assertEquals(Math.sqrt(IN * R * 0.01 / 2), norm(first.a()), 0.35);
    AdapterInit.Place odd = new AdapterInit.Place("q_proj", OUT, IN, 3, 1);
    assertEquals(
        "init_lora_weights: 'orthogonal' needs an even rank, but that of 'q_proj' is 3: change"
            + " lora_r or rank_pattern",
        assertThrows(
                InvalidInputException.class,
                () -> new AdapterInit(InitLoraWeights.ORTHOGONAL, 1).of(odd, null))
            .getMessage());
  }

  @Test
  void namesAreReadAsTheyAreWritten() {
    for (String name :
        List.of("true", "gaussian", "orthogonal", "pissa", "pissa_niter_4", "olora", "loftq")) {
      assertEquals(name, InitLoraWeights.of(name).orElseThrow().text());
    }
    assertTrue(InitLoraWeights.of("pissa_niter_0").isEmpty());
    assertTrue(InitLoraWeights.of("kaiming").isEmpty());
  }
}
