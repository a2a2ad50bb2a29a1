package ai.nibble.lora;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.Shared;
import ai.nibble.TinyChat;
import ai.nibble.model.CausalLm;
import ai.nibble.model.WeightSource;
import ai.nibble.nn.Precision;
import ai.nibble.nn.Quant4Weight;
import ai.nibble.quant.Quant4Config;
import ai.nibble.quant.Quant4Type;
import ai.nibble.safetensors.SafetensorsFile;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Tensor;
import java.io.IOException;
import java.net.URISyntaxException;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What LoftQ of several iterations makes of a weight. */
class LoftqWeightsTest {
  private static final Quant4Config NF4 = new Quant4Config(Quant4Type.NF4, 64, false);
  private static final int RANK = 4;

  private long liveBefore;

  @BeforeEach
  void count() {
    liveBefore = Tensor.live();
  }

  @AfterEach
  void everyTensorIsClosed() {
    assertEquals(liveBefore, Tensor.live());
  }

  private static LoftqWeights.Matrix matrix(float[] values, long... shape) {
    return new LoftqWeights.Matrix("w", DType.FLOAT32, values, shape);
  }

  /** Dequantised. */
  private static float[] quantized(float[] values, Quant4Config config, long... shape) {
    try (Quant4Weight weight =
            Quant4Weight.quantize(
                "w",
                config,
                DType.FLOAT32,
                shape[0],
                shape[1],
                (first, into, n) -> System.arraycopy(values, (int) first, into, 0, n));
        Tensor held = Tensor.empty(DType.FLOAT32, shape)) {
      weight.writeTo(held, 0, Precision.of(DType.FLOAT32));
      return held.toFloats();
    }
  }

  private static double norm(float[] values) {
    double squares = 0;
    for (float v : values) {
      squares += (double) v * v;
    }
    return Math.sqrt(squares);
  }

  private static double distance(float[] a, float[] b) {
    float[] difference = a.clone();
    for (int i = 0; i < a.length; i++) {
      difference[i] -= b[i];
    }
    return norm(difference);
  }

  /** ‖W − (Q + B·A)‖ of the last of some iterations, as a share of ‖W‖. */
  private static double error(
      LoftqWeights.Matrix weight, Quant4Config config, int rank, int iterations) {
    float[] last = LoftqWeights.reduced(weight, config, rank, iterations);
    try (Tensor missing = weight.lessQuantized(last, config)) {
      double left = norm(missing.toFloats());
      double explained = TruncatedSvd.of(missing, rank).explained();
      return left * Math.sqrt(1 - explained) / norm(weight.values());
    }
  }

  /**
   * The codes are equal, the blocks' scales but for how the sums of B·A of four terms below 0.1
   * were rounded, 4 · 0.1 · 2⁻²⁴; another code would differ by a twentieth of a scale.
   */
  @ParameterizedTest
  @ValueSource(ints = {1, 2, 5})
  void eachIterationLeavesTheBaseThatPeftLeaves(int iterations) throws URISyntaxException {
    Path file = Path.of(LoftqWeightsTest.class.getResource("loftq.safetensors").toURI());
    try (SafetensorsFile golden = SafetensorsFile.open(file)) {
      float[] values = read(golden, "weight");
      LoftqWeights.Matrix weight = matrix(values, 48, 128);
      float[] last = LoftqWeights.reduced(weight, NF4, RANK, iterations);
      float[] held = quantized(last, NF4, 48, 128);
      assertArrayEquals(read(golden, iterations + ".held"), held, 1e-7f);
      try (Tensor missing = weight.lessQuantized(last, NF4)) {
        AdapterInit.Place place = new AdapterInit.Place("w", 48, 128, RANK, 1);
        AdapterInit.Matrices first =
            new AdapterInit(InitLoraWeights.LOFTQ, 1).of(place, missing::share);
        float[] begun = new float[48 * 128];
        for (int i = 0; i < begun.length; i++) {
          for (int k = 0; k < RANK; k++) {
            begun[i] += first.b()[i / 128 * RANK + k] * first.a()[k * 128 + i % 128];
          }
        }
        float[] expected = read(golden, iterations + ".begun");
        assertEquals(0, distance(expected, begun) / norm(expected), 1e-4);
      }
    }
  }

  private static float[] read(SafetensorsFile file, String name) {
    float[] values = new float[Math.toIntExact(file.tensor(name).elements())];
    file.readFloats(name, 0, values, 0, values.length);
    return values;
  }

  @Test
  @Tag("golden")
  void itComesCloserToTheStoredWeightsWithEachIteration() {
    Path base = Shared.path("models/smollm2-135m-instruct");
    Quant4Config config = new Quant4Config(Quant4Type.NF4, 64, true);
    try (WeightSource source = WeightSource.open(base, notice -> {})) {
      for (String module :
          List.of(
              "model.layers.0.self_attn.q_proj",
              "model.layers.14.self_attn.v_proj",
              "model.layers.14.mlp.down_proj",
              "model.layers.29.mlp.up_proj")) {
        String name = module + ".weight";
        long[] shape = source.shape(name);
        float[] values = new float[(int) (shape[0] * shape[1])];
        source.read(name, 0, values, 0, values.length);
        LoftqWeights.Matrix weight = matrix(values, shape);
        double plain = distance(values, quantized(values, config, shape)) / norm(values);
        double before = error(weight, config, 16, 1);
        StringBuilder errors = new StringBuilder(String.format("%s %.4f", module, plain));
        assertTrue(before < plain);
        for (int iterations = 1; iterations <= 5; iterations++) {
          double now = error(weight, config, 16, iterations);
          errors.append(String.format(" %.4f", now));
          assertTrue(now <= before, errors.toString());
          before = now;
        }
      }
    }
  }

  @Test
  void whatCarriesNoAdapterIsReadAsItIsStored(@TempDir Path directory) throws IOException {
    TinyChat.write(directory);
    LoraConfig lora =
        LoraConfig.DEFAULT
            .withRank(RANK, RANK)
            .withTargets(new TargetModules.Names(List.of("up_proj", "embed_tokens")));
    String up = "model.layers.0.mlp.up_proj";
    try (WeightSource source = WeightSource.open(directory, notice -> {})) {
      List<String> modules = CausalLm.adaptablePaths(source.config());
      try (LoftqWeights one = new LoftqWeights(source, NF4, lora, modules, 1);
          LoftqWeights two = new LoftqWeights(source, NF4, lora, modules, 2)) {
        assertArrayEquals(all(source, up), all(one, up));
        assertTrue(distance(all(source, up), all(two, up)) > 0);
        for (String other : List.of("model.layers.0.mlp.gate_proj", CausalLm.EMBEDDING)) {
          assertArrayEquals(all(source, other), all(two, other));
        }
      }
    }
  }

  private static float[] all(WeightSource source, String module) {
    long[] shape = source.shape(module + ".weight");
    float[] values = new float[(int) (shape[0] * shape[1])];
    source.read(module + ".weight", 0, values, 0, values.length);
    return values;
  }
}
