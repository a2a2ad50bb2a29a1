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
import java.math.RoundingMode;
import java.util.List;
import java.util.OptionalInt;

/**
 * The {@code config.json} and {@code generation_config.json} of a GGUF file that comes alone: its
 * metadata in Hugging Face's words. The same table as {@link GgufHyperparameters}, read backwards;
 * {@link GgufConfigCheck} compares the two when the weights are opened.
 */
final class GgufConfigJson {
  private static final String EMBEDDING = "token_embd.weight";

  /** The converter keeps routers in float32 whatever the type of the matrices. */
  private static final String ROUTER = ".ffn_gate_inp.weight";

  private static final int SHARE_DIGITS = 9;

  private final GgufFile file;
  private final GgufMetadata metadata;
  private final GgufFields fields;
  private final Architecture architecture;

  /**
   * @throws InvalidInputException if the file's architecture is not supported
   */
  GgufConfigJson(GgufFile file) {
    this.file = file;
    this.metadata = file.metadata();
    this.fields = new GgufFields(file);
    this.architecture =
        Architecture.all().stream()
            .filter(known -> known.isIn(fields))
            .findFirst()
            .orElseThrow(
                () ->
                    metadata.bad(
                        "general.architecture",
                        "is '%s', expected one of %s"
                            .formatted(
                                fields.architecture(),
                                Architecture.all().stream()
                                    .map(known -> known.gguf().name())
                                    .distinct()
                                    .toList())));
  }

  /** {@code config.json}. */
  ObjectNode config() {
    ObjectNode json = JsonNodeFactory.instance.objectNode();
    json.putArray("architectures").add(architecture.className());
    json.put("model_type", architecture.modelType());
    int hidden = fields.integer("embedding_length");
    int heads = fields.integer("attention.head_count");
    int headDim = fields.integer("attention.key_length", hidden / heads);
    int length = fields.integer("context_length");
    json.put("vocab_size", rows());
    json.put("hidden_size", hidden);
    json.put("intermediate_size", fields.integer("feed_forward_length"));
    json.put("num_hidden_layers", fields.layers());
    json.put("num_attention_heads", heads);
    json.put("num_key_value_heads", fields.integer("attention.head_count_kv", heads));
    json.put("head_dim", headDim);
    json.put("max_position_embeddings", length);
    json.put("rms_norm_eps", fields.number("attention.layer_norm_rms_epsilon"));
    json.put("rope_theta", fields.number("rope.freq_base", 10_000));
    rotated(json, headDim);
    GgufRope.scaling(fields).ifPresent(scaling -> json.set("rope_scaling", scaling));
    json.put("tie_word_embeddings", !fields.hasTensor("output.weight"));
    architecture.configure(fields, json);
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
    return fields.integer("context_length");
  }

  /** As many as the embedding has; some may be of no token. */
  private int rows() {
    List<Long> shape = file.tensor(EMBEDDING).shape();
    String tokens = "tokenizer.ggml.tokens";
    if (shape.size() != 2
        || metadata.size(tokens) > shape.get(0)
        || shape.get(0) > Integer.MAX_VALUE) {
      throw metadata.bad(
          tokens,
          "has %d elements, expected at most as many as tensor '%s' has rows, its shape is %s"
              .formatted(metadata.size(tokens), EMBEDDING, shape));
    }
    return Math.toIntExact(shape.get(0));
  }

  /** Phi 3 may rotate a part of each head, the others rotate all of it. */
  private void rotated(ObjectNode json, int headDim) {
    String key = "rope.dimension_count";
    int rotated = fields.integer(key, headDim);
    if (rotated == headDim) {
      return;
    }
    if (!architecture.rotatesPartly() || rotated > headDim) {
      throw fields.bad(key, "is " + rotated + ", expected all of a head, " + headDim);
    }
    json.put(
        "partial_rotary_factor", // rounded up: the whole number of elements is rounded down
        new BigDecimal(rotated).divide(new BigDecimal(headDim), SHARE_DIGITS, RoundingMode.UP));
  }

  /**
   * What the weights were before they were quantised: bfloat16, as of all models that are; else the
   * type of the file's matrices.
   */
  private DType dtype() {
    GgmlType widest = file.tensor(EMBEDDING).type();
    boolean same =
        file.tensors().values().stream()
            .filter(tensor -> tensor.shape().size() > 1 && !tensor.name().endsWith(ROUTER))
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
}
