package ai.nibble.model;

import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.Optional;

/**
 * How a GGUF file stretches rotary positions, in the words of {@code rope_scaling}.
 *
 * <p>Source: {@code llama-model.cpp}, which takes a factor without a type for linear scaling, and
 * LongRoPE's tensors for LongRoPE whatever the type.
 */
final class GgufRope {
  static final String TYPE = "rope.scaling.type";
  private static final String FACTOR = "rope.scaling.factor";

  /** The factor's name in the files of 2023. */
  private static final String OLD_FACTOR = "rope.scale_linear";

  private static final String ORIGINAL_LENGTH = "rope.scaling.original_context_length";
  private static final String ATTENTION_FACTOR = "rope.scaling.attn_factor";
  private static final String NONE = "none";
  private static final String LONG = "rope_factors_long.weight";
  private static final String SHORT = "rope_factors_short.weight";

  private GgufRope() {}

  /** {@code none}, {@code linear}, {@code yarn} or {@code longrope}, or what else a file says. */
  static String type(GgufFields file) {
    if (file.hasTensor(LONG) && file.hasTensor(SHORT)) {
      return "longrope";
    }
    return file.text(TYPE, factor(file) == 1 ? NONE : "linear");
  }

  private static float factor(GgufFields file) {
    String key = file.has(FACTOR) ? FACTOR : OLD_FACTOR;
    float factor = file.number(key, 1).floatValue();
    return factor == 0 ? 1 : factor; // llama.cpp's "not given"
  }

  /** {@code rope_scaling}; empty where nothing is stretched. */
  static Optional<ObjectNode> scaling(GgufFields file) {
    ObjectNode json = JsonNodeFactory.instance.objectNode();
    String type = type(file);
    return switch (type) {
      case NONE -> divisors(file, json);
      case "linear" ->
          factor(file) == 1
              ? divisors(file, json)
              : Optional.of(
                  json.put("rope_type", type).put("factor", GgufFields.decimal(factor(file))));
      case "yarn" -> Optional.of(yarn(file, json.put("rope_type", type)));
      case "longrope" -> Optional.of(longRope(file, json.put("rope_type", type)));
      default -> throw file.bad(TYPE, "is '" + type + "', expected none, linear, yarn or longrope");
    };
  }

  private static ObjectNode yarn(GgufFields file, ObjectNode json) {
    json.put("factor", GgufFields.decimal(factor(file)));
    json.put(
        "original_max_position_embeddings",
        file.integer(ORIGINAL_LENGTH, file.integer("context_length")));
    if (file.has("rope.scaling.yarn_beta_fast")) {
      json.put("beta_fast", file.number("rope.scaling.yarn_beta_fast"));
    }
    if (file.has("rope.scaling.yarn_beta_slow")) {
      json.put("beta_slow", file.number("rope.scaling.yarn_beta_slow"));
    }
    for (String multiple : new String[] {ATTENTION_FACTOR, "rope.scaling.yarn_attn_factor"}) {
      if (file.real(multiple, 1) != 1) {
        throw file.bad(
            multiple, "is " + file.real(multiple, 1) + ", expected 1: others are refused");
      }
    }
    return json;
  }

  private static ObjectNode longRope(GgufFields file, ObjectNode json) {
    if (!file.architecture().equals("phi3")) {
      throw file.bad(
          TYPE,
          "is 'longrope', which is read of the architecture 'phi3' alone, this is '%s'"
              .formatted(file.architecture()));
    }
    for (float factor : file.values(SHORT, ModelConfig.MAX_HEAD_DIM)) {
      json.withArray("short_factor").add(GgufFields.decimal(factor));
    }
    for (float factor : file.values(LONG, ModelConfig.MAX_HEAD_DIM)) {
      json.withArray("long_factor").add(GgufFields.decimal(factor));
    }
    json.put(
        "original_max_position_embeddings",
        file.integer(ORIGINAL_LENGTH, file.integer("context_length")));
    if (file.has(ATTENTION_FACTOR)) {
      json.put("attention_factor", file.number(ATTENTION_FACTOR));
    }
    return json;
  }

  private static Optional<ObjectNode> divisors(GgufFields file, ObjectNode json) {
    return file.hasTensor(GgufHyperparameters.ROPE_FREQS)
        ? GgufDivisors.scaling(file, json)
        : Optional.empty();
  }
}
