package ai.nibble.train;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.Shared;
import ai.nibble.data.Batch;
import ai.nibble.data.Example;
import ai.nibble.lora.AdapterNames;
import ai.nibble.lora.AdapterStore;
import ai.nibble.lora.LoraAdapter;
import ai.nibble.model.CausalLm;
import ai.nibble.model.Checkpointing;
import ai.nibble.model.LoadOptions;
import ai.nibble.nn.Linear;
import ai.nibble.nn.LowRank;
import ai.nibble.nn.Parameter;
import ai.nibble.nn.Quant8Weight;
import ai.nibble.quant.Quant8Config;
import ai.nibble.quant.QuantConfig;
import ai.nibble.quant.SafetensorsFixture;
import ai.nibble.tensor.DType;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * A step of adapters on an int8 base, against LLM.int8()'s definition in PyTorch: see {@code
 * train/int8/golden.py}, which picked inputs where float32's last bit decides no code.
 */
class Int8StepTest {
  private static final Path FOLDER =
      Shared.root().resolve("framework/src/test/resources/ai/nibble/train/int8");

  private static CausalLm load(boolean checkpoint, String threshold) {
    // what the checkpoint's config.json says of outliers is followed without being asked for
    Optional<QuantConfig> asked =
        checkpoint
            ? Optional.empty()
            : Optional.of(new Quant8Config(Double.parseDouble(threshold), List.of()));
    Path base = FOLDER.resolve(checkpoint ? "checkpoint_" + threshold : "base");
    return CausalLm.load(base, new LoadOptions(asked, DType.FLOAT32));
  }

  private static int[] ids(SafetensorsFixture golden) {
    ByteBuffer longs = ByteBuffer.wrap(golden.bytes("input_ids")).order(ByteOrder.LITTLE_ENDIAN);
    int[] ids = new int[longs.limit() / Long.BYTES];
    for (int i = 0; i < ids.length; i++) {
      ids[i] = Math.toIntExact(longs.getLong());
    }
    return ids;
  }

  /**
   * Float32 sums of some hundred terms in another order, through two layers and back: 1e-5 of loss
   * and norm. The gradients of queries and keys are what softmax's derivative leaves of terms some
   * times larger, on either side: 3e-5 of a tensor's largest.
   */
  @ParameterizedTest
  @CsvSource({
    "false, 6.0, NONE", "false, 0.0, NONE", "false, 1.5, NONE", "false, 1.5, BLOCK",
    "true, 6.0, NONE", "true, 0.0, NONE", "true, 1.5, NONE", "true, 6.0, BLOCK",
  })
  void aStepIsThatOfTheDefinition(boolean checkpoint, String threshold, Checkpointing checkpointing)
      throws IOException {
    SafetensorsFixture golden = new SafetensorsFixture(FOLDER.resolve("step.safetensors"));
    int[] ids = ids(golden);
    try (CausalLm model = load(checkpoint, threshold);
        LoraAdapter adapter = AdapterStore.load(model, FOLDER.resolve("adapter"))) {
      model
          .linears()
          .values()
          .forEach(linear -> assertInstanceOf(Quant8Weight.class, linear.weight()));
      TrainStep step = PlainSteps.of(model, adapter, 0, 1e9, checkpointing);
      TrainStep.Outcome outcome =
          step.run(List.of(Batch.of(List.of(new Example(ids, ids)))), 1e-2, 0);
      assertEquals(golden.floats(threshold + ".loss")[0], outcome.loss(), 1e-5);
      float norm = golden.floats(threshold + ".norm")[0];
      assertEquals(norm, outcome.gradNorm(), 1e-5 * norm);
      int compared = 0;
      for (Map.Entry<String, Linear> entry : model.linears().entrySet()) {
        LowRank pair = entry.getValue().adapter().orElseThrow();
        assertStepped(golden, threshold, AdapterNames.loraA(entry.getKey()), pair.a());
        assertStepped(golden, threshold, AdapterNames.loraB(entry.getKey()), pair.b());
        compared++;
      }
      assertEquals(14, compared);
    }
  }

  /** Another threshold is another loss: the comparison above can tell. */
  @ParameterizedTest
  @CsvSource({"6.0, 0.0", "6.0, 1.5", "0.0, 1.5"})
  void thresholdsDiffer(String one, String other) throws IOException {
    SafetensorsFixture golden = new SafetensorsFixture(FOLDER.resolve("step.safetensors"));
    double apart = golden.floats(one + ".loss")[0] - golden.floats(other + ".loss")[0];
    assertTrue(Math.abs(apart) > 1e-3, one + " and " + other + " are " + apart + " apart");
  }

  /**
   * AdamW's first step is the learning rate times g / (|g| + 1e-8), the sign of any gradient that
   * is larger than its error by far: those from a thousandth of the largest on are looked at.
   */
  private static void assertStepped(
      SafetensorsFixture golden, String threshold, String name, Parameter parameter) {
    float[] gradient = golden.floats(threshold + ".gradient." + name);
    assertClose(name, gradient, parameter.grad().toFloats(), 3e-5);
    float[] expected = golden.floats(threshold + ".after." + name);
    float[] actual = parameter.value().toFloats();
    for (int i = 0; i < expected.length; i++) {
      if (Math.abs(gradient[i]) >= 1e-3 * largest(gradient)) {
        assertEquals(expected[i], actual[i], 1e-6, name + ", element " + i);
      }
    }
  }

  private static float largest(float[] values) {
    float scale = 0;
    for (float value : values) {
      scale = Math.max(scale, Math.abs(value));
    }
    return scale;
  }

  private static void assertClose(String what, float[] expected, float[] actual, double relative) {
    assertEquals(expected.length, actual.length, what);
    float scale = largest(expected);
    for (int i = 0; i < expected.length; i++) {
      assertEquals(expected[i], actual[i], relative * scale, what + ", element " + i);
    }
  }
}
