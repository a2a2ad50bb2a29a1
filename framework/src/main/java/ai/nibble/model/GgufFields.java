package ai.nibble.model;

import ai.nibble.InvalidInputException;
import ai.nibble.gguf.GgufFile;
import ai.nibble.gguf.GgufMetadata;
import ai.nibble.gguf.MetadataType;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.math.BigDecimal;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.OptionalInt;

/**
 * What a GGUF file says of its model under its architecture's prefix: {@code block_count} is the
 * key {@code llama.block_count} of a file of the architecture {@code llama}. A value that is
 * missing or of a wrong type is refused, naming the key.
 */
final class GgufFields {
  static final String SLIDING_WINDOW = "attention.sliding_window";
  static final String SLIDING_PATTERN = "attention.sliding_window_pattern";

  private final GgufFile file;
  private final GgufMetadata metadata;
  private final String prefix;

  GgufFields(GgufFile file) {
    this.file = file;
    this.metadata = file.metadata();
    this.prefix = metadata.getString("general.architecture", "") + ".";
  }

  GgufFile file() {
    return file;
  }

  /** llama.cpp's name of the architecture. */
  String architecture() {
    return metadata.getString("general.architecture");
  }

  boolean has(String name) {
    return metadata.contains(prefix + name);
  }

  boolean hasTensor(String name) {
    return file.names().contains(name);
  }

  /** An integer from 1 up. */
  int integer(String name) {
    return metadata.getInt(prefix + name, 1, Integer.MAX_VALUE);
  }

  int integer(String name, int absent) {
    return has(name) ? integer(name) : absent;
  }

  /** An integer whose 0 means none, as its absence does. */
  int count(String name) {
    return has(name) ? metadata.getInt(prefix + name, 0, Integer.MAX_VALUE) : 0;
  }

  String text(String name, String absent) {
    return metadata.getString(prefix + name, absent);
  }

  float real(String name, float absent) {
    return metadata.getFloat(prefix + name, absent);
  }

  /** The shortest decimal that is this float32: what the original configuration said. */
  BigDecimal number(String name) {
    float value = metadata.getFloat(prefix + name);
    if (!Float.isFinite(value)) {
      throw bad(name, "is " + value + ", expected a finite number");
    }
    return decimal(value);
  }

  BigDecimal number(String name, float absent) {
    return has(name) ? number(name) : decimal(absent);
  }

  /**
   * @param value finite
   */
  static BigDecimal decimal(float value) {
    return new BigDecimal(Float.toString(value));
  }

  /** The values of a tensor of one dimension, up to {@code most} of them. */
  float[] values(String tensor, int most) {
    float[] values = new float[(int) Math.min(file.tensor(tensor).elements(), most)];
    file.dequantize(tensor, 0, values.length, values, 0);
    for (float value : values) {
      if (!Float.isFinite(value)) {
        throw badTensor(tensor, "holds " + value + ", expected finite numbers");
      }
    }
    return values;
  }

  int layers() {
    return integer("block_count");
  }

  /** Tokens that attention slides over; empty where it sees everything. */
  OptionalInt window() {
    int window = count(SLIDING_WINDOW);
    return window > 0 ? OptionalInt.of(window) : OptionalInt.empty();
  }

  /**
   * Which layers slide where there is a window: one flag for each, or a number, each so many of
   * which sees everything (0: none does).
   *
   * @param absent the number where the file has neither
   */
  List<Boolean> sliding(int absent) {
    String key = prefix + SLIDING_PATTERN;
    if (has(SLIDING_PATTERN) && metadata.type(key) == MetadataType.ARRAY) {
      List<Boolean> flags = metadata.getFlags(key);
      if (flags.size() != layers()) {
        throw bad(
            SLIDING_PATTERN,
            "has %d elements, expected one for each of the %d layers"
                .formatted(flags.size(), layers()));
      }
      return flags;
    }
    int each = has(SLIDING_PATTERN) ? count(SLIDING_PATTERN) : absent;
    List<Boolean> flags = new ArrayList<>();
    for (int i = 0; i < layers(); i++) {
      flags.add(each == 0 || (i + 1) % each != 0);
    }
    return Collections.unmodifiableList(flags);
  }

  /** Sets what Llama and its like say of biases: the first layer has what all have. */
  void setBiases(ObjectNode json) {
    json.put("attention_bias", hasTensor("blk.0.attn_q.bias"));
    if (hasTensor("blk.0.ffn_gate.bias")) {
      json.put("mlp_bias", true);
    }
  }

  /** Sets what Qwen and its like say of windows, where the file has one. */
  void setWindows(ObjectNode json) {
    if (window().isPresent()) {
      json.put("use_sliding_window", true);
      setWindowsAlways(json, 0);
    }
  }

  /**
   * The same of a family whose layers slide wherever there is a window.
   *
   * @param pattern as {@link #sliding} has it
   */
  void setWindowsAlways(ObjectNode json, int pattern) {
    OptionalInt window = window();
    window.ifPresentOrElse(
        w -> json.put("sliding_window", w), () -> json.putNull("sliding_window"));
    ArrayNode types = json.putArray("layer_types");
    for (boolean slides : sliding(pattern)) {
      types.add(slides && window.isPresent() ? "sliding_attention" : "full_attention");
    }
  }

  /** A problem with a tensor. */
  InvalidInputException badTensor(String name, String problem) {
    return new InvalidInputException(file.path() + ": tensor '" + name + "' " + problem);
  }

  /** A problem with a key's value. */
  InvalidInputException bad(String name, String problem) {
    return metadata.bad(prefix + name, problem);
  }
}
