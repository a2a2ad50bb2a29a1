package ai.nibble.model;

import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.data.SmallTokenizer;
import ai.nibble.safetensors.SafetensorsFile;
import ai.nibble.safetensors.SafetensorsTensor;
import ai.nibble.safetensors.SafetensorsType;
import ai.nibble.safetensors.SafetensorsWriter;
import ai.nibble.safetensors.TensorSpec;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.function.UnaryOperator;

/** A checkpoint's tensors and configuration in memory, to be changed and written elsewhere. */
public final class ChangedCheckpoint {
  /** Quantised in all checkpoints of the tests. */
  public static final String Q = "model.layers.0.self_attn.q_proj";

  /** Its quantisation state, where bitsandbytes wrote one. */
  public static final String STATE = Q + ".weight.quant_state.bitsandbytes__nf4";

  private final Map<String, TensorSpec> specs = new LinkedHashMap<>();
  private final Map<String, byte[]> values = new LinkedHashMap<>();
  private String config;

  private ChangedCheckpoint() {}

  /** What {@code quant/stored} has under a name. */
  public static ChangedCheckpoint named(String name) throws IOException {
    return of(QuantizedCheckpointTest.directory(name));
  }

  /** What a directory with one file of weights has. */
  public static ChangedCheckpoint of(Path from) throws IOException {
    ChangedCheckpoint checkpoint = new ChangedCheckpoint();
    checkpoint.config = Files.readString(from.resolve("config.json"));
    try (SafetensorsFile file = SafetensorsFile.open(from.resolve("model.safetensors"))) {
      for (String tensor : file.names()) {
        SafetensorsTensor header = file.tensor(tensor);
        byte[] bytes = new byte[(int) header.bytes()];
        file.read(tensor, 0, ByteBuffer.wrap(bytes));
        checkpoint.put(tensor, header.type(), header.shape(), bytes);
      }
    }
    return checkpoint;
  }

  public ChangedCheckpoint put(String name, SafetensorsType type, List<Long> shape, byte[] bytes) {
    specs.put(name, new TensorSpec(name, type, shape));
    values.put(name, bytes);
    return this;
  }

  public ChangedCheckpoint remove(String name) {
    assertTrue(specs.containsKey(name), name);
    specs.remove(name);
    values.remove(name);
    return this;
  }

  /** The tensors' names; a copy. */
  public List<String> names() {
    return List.copyOf(specs.keySet());
  }

  /** The bytes of a tensor, which may be changed. */
  public ByteBuffer bytes(String name) {
    return ByteBuffer.wrap(values.get(name)).order(ByteOrder.LITTLE_ENDIAN);
  }

  /** What the header says of a tensor. */
  public TensorSpec spec(String name) {
    return specs.get(name);
  }

  /** Replaces text of {@link #STATE}. */
  public ChangedCheckpoint state(String from, String to) {
    String text = new String(values.get(STATE), StandardCharsets.UTF_8);
    assertTrue(text.contains(from), text);
    byte[] bytes = text.replace(from, to).getBytes(StandardCharsets.UTF_8);
    return put(STATE, SafetensorsType.U8, List.of((long) bytes.length), bytes);
  }

  /** Replaces text of config.json. */
  public ChangedCheckpoint config(String from, String to) {
    assertTrue(config.contains(from), config);
    config = config.replace(from, to);
    return this;
  }

  /** Changes a tensor of int32. */
  public ChangedCheckpoint ints(String name, UnaryOperator<int[]> change) {
    ByteBuffer bytes = bytes(name);
    int[] ints = new int[bytes.limit() / 4];
    bytes.asIntBuffer().get(ints);
    bytes.asIntBuffer().put(change.apply(ints));
    return this;
  }

  /** Changes one element of a tensor of int32. */
  public ChangedCheckpoint with(String name, int at, int value) {
    return ints(
        name,
        values -> {
          values[at] = value;
          return values;
        });
  }

  /** Gives embedding and head the rows of {@link SmallTokenizer}'s tokens. */
  public ChangedCheckpoint withTokens() {
    Random random = new Random(5);
    int rows = SmallTokenizer.END + 1;
    for (String table : List.of("model.embed_tokens.weight", "lm_head.weight")) {
      long width = specs.get(table).shape().get(1);
      ByteBuffer bytes =
          ByteBuffer.allocate((int) (rows * width * 4)).order(ByteOrder.LITTLE_ENDIAN);
      while (bytes.hasRemaining()) {
        bytes.putFloat((float) random.nextGaussian());
      }
      put(table, SafetensorsType.F32, List.of((long) rows, width), bytes.array());
    }
    return config("\"vocab_size\": 40", "\"vocab_size\": " + rows);
  }

  /** Writes it, and a tokenizer with a template where it has rows for that. */
  public Path write(Path directory) throws IOException {
    Files.createDirectories(directory);
    Files.writeString(directory.resolve("config.json"), config);
    Path file = directory.resolve("model.safetensors");
    try (SafetensorsWriter writer = SafetensorsWriter.create(file, specs.values())) {
      values.forEach((name, bytes) -> writer.write(name, ByteBuffer.wrap(bytes)));
      writer.commit();
    }
    if (specs.get("model.embed_tokens.weight").shape().get(0) > SmallTokenizer.END) {
      SmallTokenizer.write(directory, false);
      Files.writeString(directory.resolve("chat_template.jinja"), SmallTokenizer.CHATML);
    }
    return directory;
  }
}
