package ai.nibble.model;

import ai.nibble.InvalidInputException;
import ai.nibble.gguf.GgmlType;
import ai.nibble.gguf.GgufFile;
import ai.nibble.gguf.GgufMetadata;
import ai.nibble.tensor.DType;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.math.BigDecimal;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;

/**
 * The {@code config.json} and {@code generation_config.json} of a GGUF file that comes alone: its
 * metadata in Hugging Face's words. The same table as {@link GgufHyperparameters}, read backwards;
 * {@link GgufConfigCheck} compares the two when the weights are opened.
 */
final class GgufConfigJson {
  private static final String EMBEDDING = "token_embd.weight";

  /** The scaling of Llama 3.1 to 3.3; of the divisors alone one number of the three is free. */
  private static final double LOW_FREQ_FACTOR = 1;

  private static final double HIGH_FREQ_FACTOR = 4;
  private static final int ORIGINAL_LENGTH = 8192;

  private final GgufFile file;
  private final GgufMetadata metadata;
  private final Architecture architecture;

  /**
   * @throws InvalidInputException if the file's architecture is not supported
   */
  GgufConfigJson(GgufFile file) {
    this.file = file;
    this.metadata = file.metadata();
    String name = metadata.getString("general.architecture");
    this.architecture =
        ModelConfigFile.ARCHITECTURES.stream()
            .filter(known -> known.gguf().name().equals(name))
            .findFirst()
            .orElseThrow(
                () ->
                    metadata.bad(
                        "general.architecture",
                        "is '%s', expected one of %s"
                            .formatted(
                                name,
                                ModelConfigFile.ARCHITECTURES.stream()
                                    .map(known -> known.gguf().name())
                                    .distinct()
                                    .toList())));
  }

  /** {@code config.json}. */
  ObjectNode config() {
    refuseExperts();
    ObjectNode json = JsonNodeFactory.instance.objectNode();
    json.putArray("architectures").add(architecture.className());
    json.put("model_type", architecture.modelType());
    int hidden = integer("embedding_length");
    int heads = integer("attention.head_count");
    int headDim = headDim(hidden, heads);
    json.put("vocab_size", rows());
    json.put("hidden_size", hidden);
    json.put("intermediate_size", integer("feed_forward_length"));
    json.put("num_hidden_layers", integer("block_count"));
    json.put("num_attention_heads", heads);
    json.put("num_key_value_heads", integer("attention.head_count_kv", heads));
    json.put("head_dim", headDim);
    json.put("hidden_act", "silu");
    json.put("max_position_embeddings", integer("context_length"));
    json.put("rms_norm_eps", number("attention.layer_norm_rms_epsilon"));
    json.put("rope_theta", number("rope.freq_base", 10_000));
    scaling().ifPresent(scaling -> json.set("rope_scaling", scaling));
    json.put("tie_word_embeddings", !file.names().contains("output.weight"));
    biases(json);
    role(json, "bos");
    role(json, "eos");
    role(json, "padding", "pad_token_id");
    json.put("torch_dtype", dtype().torchName());
    return json;
  }

  /** {@code generation_config.json}: all tokens that end a text. */
  ObjectNode generation() {
    ObjectNode json = JsonNodeFactory.instance.objectNode();
    role(json, "bos");
    ArrayNode ends = JsonNodeFactory.instance.arrayNode();
    for (String role : List.of("eos", "eot", "eom")) {
      OptionalInt id = id(role);
      if (id.isPresent() && !contains(ends, id.getAsInt())) {
        ends.add(id.getAsInt());
      }
    }
    if (!ends.isEmpty()) {
      json.set("eos_token_id", ends.size() == 1 ? ends.get(0) : ends);
    }
    role(json, "padding", "pad_token_id");
    return json;
  }

  private static boolean contains(ArrayNode ids, int id) {
    for (JsonNode each : ids) {
      if (each.intValue() == id) {
        return true;
      }
    }
    return false;
  }

  /** Tokens of context. */
  int contextLength() {
    return integer("context_length");
  }

  /** As many as the embedding has; some may be of no token. */
  private int rows() {
    List<Long> shape = file.tensor(EMBEDDING).shape();
    String tokens = "tokenizer.ggml.tokens";
    if (shape.size() != 2 || metadata.size(tokens) > shape.get(0)) {
      throw metadata.bad(
          tokens,
          "has %d elements, expected at most as many as tensor '%s' has rows, its shape is %s"
              .formatted(metadata.size(tokens), EMBEDDING, shape));
    }
    return Math.toIntExact(shape.get(0));
  }

  private void refuseExperts() {
    String key = key("expert_count");
    if (metadata.contains(key) && metadata.getLong(key) > 0) {
      throw metadata.bad(
          key,
          "is "
              + metadata.getLong(key)
              + ", a mixture of experts, expected none: put the original model's config.json and"
              + " tokenizer.json beside the file");
    }
  }

  /** All of a head is rotated; of a part there is no field that is read. */
  private int headDim(int hidden, int heads) {
    int headDim = integer("attention.key_length", hidden / Math.max(1, heads));
    int rotated = integer("rope.dimension_count", headDim);
    if (rotated != headDim) {
      throw metadata.bad(
          key("rope.dimension_count"), "is " + rotated + ", expected all of a head, " + headDim);
    }
    return headDim;
  }

  /** What a file without a fitting flag says by the tensors it has. */
  private void biases(ObjectNode json) {
    if (!architecture.modelType().equals("qwen2")) { // has them, and no flag
      json.put("attention_bias", file.names().contains("blk.0.attn_q.bias"));
    }
    if (file.names().contains("blk.0.ffn_gate.bias")) {
      json.put("mlp_bias", true);
    }
  }

  private Optional<ObjectNode> scaling() {
    String key = key("rope.scaling.type");
    String type = metadata.getString(key, "none");
    ObjectNode json = JsonNodeFactory.instance.objectNode();
    switch (type) {
      case "none" -> {
        return divisors(json);
      }
      case "linear" -> json.put("rope_type", type).put("factor", number("rope.scaling.factor"));
      case "yarn" ->
          json.put("rope_type", type)
              .put("factor", number("rope.scaling.factor"))
              .put(
                  "original_max_position_embeddings",
                  integer("rope.scaling.original_context_length"));
      default -> throw metadata.bad(key, "is '" + type + "', expected none, linear or yarn");
    }
    return Optional.of(json);
  }

  /** Llama 3's: the largest divisor is its factor, the others follow. */
  private Optional<ObjectNode> divisors(ObjectNode json) {
    if (!file.names().contains(GgufHyperparameters.ROPE_FREQS)) {
      return Optional.empty();
    }
    long count = file.tensor(GgufHyperparameters.ROPE_FREQS).elements();
    float[] divisors = new float[(int) Math.min(count, ModelConfig.MAX_HEAD_DIM)];
    file.dequantize(GgufHyperparameters.ROPE_FREQS, 0, divisors.length, divisors, 0);
    float factor = 1;
    for (float divisor : divisors) {
      factor = Math.max(factor, divisor);
    }
    return Optional.of(
        json.put("rope_type", "llama3")
            .put("factor", decimal(factor))
            .put("low_freq_factor", LOW_FREQ_FACTOR)
            .put("high_freq_factor", HIGH_FREQ_FACTOR)
            .put("original_max_position_embeddings", ORIGINAL_LENGTH));
  }

  /**
   * What the weights were before they were quantised: bfloat16, as of all models that are; else the
   * type of the file's matrices.
   */
  private DType dtype() {
    GgmlType widest = file.tensor(EMBEDDING).type();
    boolean same =
        file.tensors().values().stream()
            .filter(tensor -> tensor.shape().size() > 1)
            .allMatch(tensor -> tensor.type() == widest);
    if (same && widest == GgmlType.F32) {
      return DType.FLOAT32;
    }
    return same && widest == GgmlType.F16 ? DType.FLOAT16 : DType.BFLOAT16;
  }

  private void role(ObjectNode json, String role) {
    role(json, role, role + "_token_id");
  }

  private void role(ObjectNode json, String role, String field) {
    OptionalInt id = id(role);
    if (id.isPresent()) {
      json.put(field, id.getAsInt());
    } else {
      json.putNull(field);
    }
  }

  private OptionalInt id(String role) {
    String key = "tokenizer.ggml." + role + "_token_id";
    return metadata.contains(key)
        ? OptionalInt.of(metadata.getInt(key, 0, Integer.MAX_VALUE))
        : OptionalInt.empty();
  }

  private String key(String name) {
    return architecture.gguf().name() + "." + name;
  }

  private int integer(String name) {
    return metadata.getInt(key(name), 1, Integer.MAX_VALUE);
  }

  private int integer(String name, int absent) {
    return metadata.contains(key(name)) ? integer(name) : absent;
  }

  private BigDecimal number(String name) {
    return decimal(metadata.getFloat(key(name)));
  }

  private BigDecimal number(String name, float absent) {
    return decimal(metadata.getFloat(key(name), absent));
  }

  /** The shortest decimal that is this float32: what the original said. */
  private static BigDecimal decimal(float value) {
    return new BigDecimal(Float.toString(value));
  }
}
