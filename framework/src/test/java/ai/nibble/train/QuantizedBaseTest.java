package ai.nibble.train;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.data.Batch;
import ai.nibble.data.Example;
import ai.nibble.lora.LoraAdapter;
import ai.nibble.lora.LoraConfig;
import ai.nibble.model.CausalLm;
import ai.nibble.model.Checkpointing;
import ai.nibble.model.LoadOptions;
import ai.nibble.model.QuantizedCheckpointTest;
import ai.nibble.model.WeightSource;
import ai.nibble.safetensors.SafetensorsWriter;
import ai.nibble.safetensors.TensorSpec;
import ai.nibble.tensor.DType;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Adapters on bases that are quantised already, against the same bases as plain values. */
class QuantizedBaseTest {
  @TempDir Path temp;

  static List<String> checkpoints() {
    return QuantizedCheckpointTest.BY_VALUES;
  }

  private record Step(double loss, double gradNorm, float[] values) {}

  private static Step step(Path base, DType compute) {
    int[] first = {1, 5, 9, 13, 17, 21, 25, 29, 33, 37};
    int[] second = {2, 4, 8, 16, 32, 3, 6};
    Batch batch = Batch.of(List.of(new Example(first, first), new Example(second, second)));
    LoraConfig config = LoraConfig.DEFAULT.withRank(4, 8).withDropout(0);
    try (CausalLm model = CausalLm.load(base, LoadOptions.unquantized(compute));
        LoraAdapter adapter = LoraAdapter.inject(model, config, 3)) {
      TrainStep step = PlainSteps.of(model, adapter, 0, 1, Checkpointing.NONE);
      TrainStep.Outcome outcome = step.run(List.of(batch), 1e-2, 0);
      return new Step(outcome.loss(), outcome.gradNorm(), adapter.parameters().values().toFloats());
    }
  }

  /** Writes the dequantised values, all in float32. */
  private Path plain(Path quantized) throws IOException {
    String config = Files.readString(quantized.resolve("config.json"));
    Files.writeString(
        temp.resolve("config.json"),
        config
            .replaceAll("(?s)\"quantization_config\": \\{.*?\\},?", "")
            .replaceAll("\"dtype\": \"\\w+\"", "\"dtype\": \"float32\"")
            .replaceAll(",\\s*\\}", "}"));
    try (WeightSource source = WeightSource.open(quantized, notice -> {})) {
      List<TensorSpec> specs = new ArrayList<>();
      for (String name : source.names()) {
        specs.add(TensorSpec.of(name, DType.FLOAT32, source.shape(name)));
      }
      Path file = temp.resolve("model.safetensors");
      try (SafetensorsWriter writer = SafetensorsWriter.create(file, specs)) {
        for (TensorSpec spec : specs) {
          float[] values = new float[(int) spec.bytes() / 4];
          source.readHeld(spec.name(), 0, values, 0, values.length);
          ByteBuffer bytes = ByteBuffer.allocate(4 * values.length).order(ByteOrder.LITTLE_ENDIAN);
          bytes.asFloatBuffer().put(values);
          writer.write(spec.name(), bytes);
        }
        writer.commit();
      }
    }
    return temp;
  }

  /**
   * The same values go into the same products, so loss, gradients and what a step makes of them are
   * the same to the bit; in bfloat16 each value is rounded once either way.
   */
  @ParameterizedTest
  @MethodSource("checkpoints")
  void aStepIsThatOnTheDequantisedValues(String name) throws IOException {
    Path quantized = QuantizedCheckpointTest.directory(name);
    Path plain = plain(quantized);
    for (DType compute : List.of(DType.FLOAT32, DType.BFLOAT16)) {
      Step expected = step(plain, compute);
      Step actual = step(quantized, compute);
      assertTrue(expected.gradNorm() > 0);
      assertEquals(expected.loss(), actual.loss());
      assertEquals(expected.gradNorm(), actual.gradNorm());
      assertArrayEquals(expected.values(), actual.values());
    }
  }
}
