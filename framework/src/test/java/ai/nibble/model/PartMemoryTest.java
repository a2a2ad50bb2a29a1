package ai.nibble.model;

import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.autograd.Tape;
import ai.nibble.autograd.Variable;
import ai.nibble.lora.LoraAdapter;
import ai.nibble.lora.LoraConfig;
import ai.nibble.model.StepMemory.Kind;
import ai.nibble.nn.Extent;
import ai.nibble.nn.Pass;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Device;
import ai.nibble.tensor.Tensor;
import ai.nibble.tensor.TensorMemory;
import ai.nibble.tensor.Torch;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** What the parts of a pass are said to hold on each device, against what tensors hold there. */
class PartMemoryTest {
  private static final int RANK = 6;
  private static final int LAYERS = 6;
  private static final int VOCABULARY = 500;
  private static final int[] STARTS = {0, 200, 230, 391};
  private static final int[] LOSS = IntStream.range(40, 300).toArray();

  @TempDir Path directory;

  private ModelConfig config() throws Exception {
    Path file = directory.resolve("config.json");
    Files.writeString(
        file,
        "{\"model_type\":\"llama\",\"hidden_size\":96,\"intermediate_size\":200,"
            + "\"num_hidden_layers\":"
            + LAYERS
            + ",\"num_attention_heads\":6,\"num_key_value_heads\":2,"
            + "\"bos_token_id\":null,\"eos_token_id\":null,\"pad_token_id\":null,"
            + "\"head_dim\":16,\"vocab_size\":"
            + VOCABULARY
            + ",\"tie_word_embeddings\":false}");
    return ModelConfig.read(file, notice -> {});
  }

  /** Layers 0 and 1 with the embedding, 2 to 4, and 5 with the head. */
  private static Placement placement() {
    Map<String, Device> modules = new LinkedHashMap<>();
    modules.put(CausalLm.EMBEDDING, Device.pretended(1));
    for (int i = 0; i < LAYERS; i++) {
      modules.put(Placement.layer(i), Device.pretended(i < 2 ? 1 : i < 5 ? 2 : 3));
    }
    modules.put(CausalLm.NORM, Device.pretended(3));
    modules.put(CausalLm.HEAD, Device.pretended(3));
    return new Placement(modules);
  }

  private static Map<Device, List<StepMemory.Part>> said(
      ModelShape shape, StepMemory.Pass pass, Placement placement) {
    Map<Device, List<StepMemory.Part>> parts = new HashMap<>();
    parts
        .computeIfAbsent(placement.first(), d -> new ArrayList<>())
        .add(StepMemory.ofEmbedding(pass));
    for (int i = 0; i < LAYERS; i++) {
      parts
          .computeIfAbsent(placement.of(Placement.layer(i)), d -> new ArrayList<>())
          .add(StepMemory.ofLayer(pass, shape.layers().get(i)));
    }
    parts
        .computeIfAbsent(placement.of(CausalLm.HEAD), d -> new ArrayList<>())
        .add(StepMemory.ofLoss(pass));
    return parts;
  }

  private static long most(List<StepMemory.Part> parts) {
    Map<Object, Long> buffers = new HashMap<>();
    parts.forEach(p -> p.workspace().forEach((use, n) -> buffers.merge(use, n, Math::max)));
    return parts.stream().mapToLong(StepMemory.Part::kept).sum()
        + parts.stream().mapToLong(StepMemory.Part::moment).max().orElse(0)
        + buffers.values().stream().mapToLong(n -> n).sum();
  }

  private static void pass(CausalLm model, Checkpointing checkpointing) {
    int[] ids = IntStream.range(0, STARTS[STARTS.length - 1]).map(i -> i % VOCABULARY).toArray();
    int[] targets = Arrays.stream(LOSS).map(p -> ids[p + 1]).toArray();
    try (Tape tape = Tape.recording()) {
      Variable loss;
      try (Variable hidden = model.hidden(tape, ids, new Pass(STARTS, true, 7), checkpointing)) {
        loss = model.loss(tape, hidden, LOSS, targets, LOSS.length).value();
      }
      tape.backward(loss, Tensor.of(new float[] {1}, 1));
    }
  }

  /**
   * A bound that is kept, and a near one. Of the head's device the gradient of the last hidden
   * state is counted, which is made on the device before; some parts' largest moments are not at
   * once with all that is kept.
   */
  @ParameterizedTest
  @EnumSource(Checkpointing.class)
  void noDeviceHoldsMoreThanItsPartsAreSaidTo(Checkpointing checkpointing) throws Exception {
    Placement placement = placement();
    ModelConfig config = config();
    LoadOptions options = LoadOptions.unquantized(DType.FLOAT32).on(placement);
    RandomWeights weights = new RandomWeights(config, 1, "test");
    try (CausalLm model = CausalLm.load(weights, directory, options, (done, total) -> {});
        LoraAdapter adapter =
            LoraAdapter.inject(
                model, LoraConfig.DEFAULT.withRank(RANK, RANK).withDropout(0.1), 1)) {
      assertTrue(adapter.parameters().numel() > 0);
      ModelShape shape =
          ModelShape.of(
              config,
              DType.FLOAT32,
              false,
              new ModelShape.Linears(path -> RANK, true, path -> false));
      Extent extent =
          new Extent(STARTS, model.precision(), Device.Type.CPU, false, Torch.threads());
      Map<Device, List<StepMemory.Part>> said =
          said(
              shape,
              new StepMemory.Pass(shape, extent, LOSS.length, checkpointing, Kind.TRAINING),
              placement);
      Map<Device, Long> before = new HashMap<>();
      said.keySet()
          .forEach(
              device -> {
                before.put(device, TensorMemory.heldBytes(device));
                TensorMemory.forgetPeak(device);
              });
      pass(model, checkpointing);
      for (Device device : model.devices()) {
        long measured = TensorMemory.peakBytes(device) - before.get(device);
        long bound = most(said.get(device));
        String text = device + ": said " + bound + ", measured " + measured;
        assertTrue(measured <= bound, text);
        assertTrue(bound <= 1.35 * measured, text);
      }
    }
  }
}
