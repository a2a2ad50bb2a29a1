package ai.nibble.model;

import static org.junit.jupiter.api.Assertions.assertEquals;

import ai.nibble.autograd.Tape;
import ai.nibble.autograd.Variable;
import ai.nibble.nn.Extent;
import ai.nibble.nn.LowRank;
import ai.nibble.nn.ParameterSet;
import ai.nibble.nn.Pass;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Device;
import ai.nibble.tensor.Tensor;
import ai.nibble.tensor.TensorMemory;
import ai.nibble.tensor.Torch;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** What is said of a step's memory, against what tensors hold while it is computed. */
class StepMemoryTest {
  private static final int RANK = 6;
  private static final int VOCABULARY = 500;

  /** Sequences of other lengths, of which one is longer than a block of attention. */
  private static final int[] STARTS = {0, 200, 230, 391};

  private static final int[] LOSS = IntStream.range(40, 300).toArray();

  @TempDir Path directory;

  private ModelConfig config() throws Exception {
    Path file = directory.resolve("config.json");
    Files.writeString(
        file,
        "{\"model_type\":\"llama\",\"hidden_size\":96,\"intermediate_size\":200,"
            + "\"num_hidden_layers\":3,\"num_attention_heads\":6,\"num_key_value_heads\":2,"
            + "\"head_dim\":16,\"vocab_size\":"
            + VOCABULARY
            + ",\"tie_word_embeddings\":false}");
    return ModelConfig.read(file, notice -> {});
  }

  private CausalLm load(LoadOptions options) throws Exception {
    ModelConfig config = config();
    return CausalLm.load(
        new RandomWeights(config, 1, "test"), directory, options, (done, total) -> {});
  }

  /** Adapters on all linears but one. */
  private static ParameterSet adapt(CausalLm model, double dropout) {
    Map<String, long[]> shapes = new LinkedHashMap<>();
    model.linears().keySet().stream()
        .filter(StepMemoryTest::isAdapted)
        .forEach(
            path -> {
              shapes.put(
                  path + ".a", new long[] {RANK, model.linears().get(path).weight().inFeatures()});
              shapes.put(
                  path + ".b", new long[] {model.linears().get(path).weight().outFeatures(), RANK});
            });
    ParameterSet parameters = new ParameterSet(shapes);
    model.linears().keySet().stream()
        .filter(StepMemoryTest::isAdapted)
        .forEach(
            path ->
                model
                    .linears()
                    .get(path)
                    .attach(
                        new LowRank(
                            parameters.get(path + ".a"), parameters.get(path + ".b"), 2, dropout)));
    return parameters;
  }

  private static boolean isAdapted(String path) {
    return !path.equals("model.layers.1.mlp.up_proj");
  }

  private ModelShape shape(CausalLm model, double dropout, boolean int8) throws Exception {
    return ModelShape.of(
        config(),
        DType.FLOAT32,
        false,
        new ModelShape.Linears(path -> isAdapted(path) ? RANK : 0, dropout > 0, path -> int8));
  }

  private static Extent extent(CausalLm model) {
    return new Extent(STARTS, model.precision(), Device.Type.CPU, false, Torch.threads());
  }

  /**
   * Bytes held after forward beyond those before it and the workspace, and the most in the step.
   */
  private record Measured(long kept, long peak) {}

  private static Measured measure(CausalLm model, Checkpointing checkpointing) {
    int[] ids = IntStream.range(0, STARTS[STARTS.length - 1]).map(i -> i % VOCABULARY).toArray();
    int[] targets = Arrays.stream(LOSS).map(p -> ids[p + 1]).toArray();
    Measured measured = null;
    long empty = TensorMemory.heldBytes(Device.Type.CPU);
    // the second time the workspace has all its buffers
    for (int i = 0; i < 2; i++) {
      long before = TensorMemory.heldBytes(Device.Type.CPU);
      TensorMemory.forgetPeak(Device.Type.CPU);
      try (Tape tape = Tape.recording()) {
        CausalLm.Loss loss;
        try (Variable hidden = model.hidden(tape, ids, new Pass(STARTS, true, 7), checkpointing)) {
          loss = model.loss(tape, hidden, LOSS, targets, LOSS.length);
        }
        long kept = TensorMemory.heldBytes(Device.Type.CPU) - before;
        tape.backward(loss.value(), Tensor.of(new float[] {1}, 1));
        measured = new Measured(kept, TensorMemory.peakBytes(Device.Type.CPU) - empty);
      }
    }
    return measured;
  }

  @ParameterizedTest
  @EnumSource(Checkpointing.class)
  void whatForwardKeepsIsSaidToTheByte(Checkpointing checkpointing) throws Exception {
    for (DType compute : List.of(DType.FLOAT32, DType.BFLOAT16)) {
      try (CausalLm model = load(LoadOptions.unquantized(compute));
          ParameterSet parameters = adapt(model, 0.1)) {
        Measured measured = measure(model, checkpointing);
        StepMemory.Result said =
            StepMemory.training(
                shape(model, 0.1, false), extent(model), LOSS.length, checkpointing);
        assertEquals(measured.kept, said.kept(), compute + " " + parameters.numel());
        System.out.println(
            compute
                + " "
                + checkpointing
                + " "
                + measured.peak
                + " said "
                + said.peak()
                + " "
                + said);
      }
    }
  }
}
