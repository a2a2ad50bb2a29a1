package ai.nibble.model;

import ai.nibble.InvalidInputException;
import java.util.List;
import java.util.OptionalDouble;
import java.util.Set;
import java.util.function.Consumer;

/**
 * The rotary fields of a {@code config.json}, older form or newer: {@code rope_theta} and {@code
 * rope_scaling} beside the other fields, or both inside {@code rope_parameters}.
 *
 * <p>Gemma 3 has them for each type of layer: inside {@code rope_parameters} under the type's name,
 * in the older form as {@code rope_theta} with {@code rope_scaling} for layers that see everything
 * and {@code rope_local_base_freq} for those that slide.
 *
 * <p>Precedence is transformers 5.23's: a non-empty {@code rope_scaling} replaces {@code
 * rope_parameters}; a {@code rope_theta} inside wins over one outside; {@code rope_type} is the
 * newer name of {@code type}; an {@code original_max_position_embeddings} outside wins over one
 * inside. What transformers would guess at with a warning (scaling values without a type, two types
 * that disagree, a type it does not know) is refused.
 */
final class RopeFields {
  private static final String ORIGINAL = "original_max_position_embeddings";
  private static final String PARAMETERS = "rope_parameters";
  private static final String SCALING = "rope_scaling";
  private static final String THETA = "rope_theta";
  private static final String LOCAL_THETA = "rope_local_base_freq";
  private static final String FULL = "full_attention";
  private static final String SLIDING = "sliding_attention";
  private static final Set<String> LAYER_TYPES = Set.of(FULL, SLIDING);
  private static final String PARTIAL = "partial_rotary_factor";

  private static final List<String> TYPES = List.of("default", "linear", "llama3", "yarn");

  /** Phi 3's; the last two are its older names of the second. */
  private static final List<String> PHI_TYPES = List.of("default", "longrope", "su", "yarn");

  private static final int PHI_ORIGINAL_LENGTH = 4096;

  private final ConfigFields model;
  private final ConfigFields rope;
  private final String thetaKey;
  private final boolean phi;
  private final int maxPositionEmbeddings;
  private final List<String> problems;
  private final Consumer<String> notices;

  /**
   * @param model the file's own object
   * @param maxPositionEmbeddings tokens of context, the default of the original length
   * @param problems where problems go; values read with a problem are defaults
   */
  RopeFields(
      ConfigFields model,
      int maxPositionEmbeddings,
      List<String> problems,
      Consumer<String> notices) {
    this(model, ofAll(model, notices), THETA, false, maxPositionEmbeddings, problems, notices);
  }

  private RopeFields(
      ConfigFields model,
      ConfigFields rope,
      String thetaKey,
      boolean phi,
      int maxPositionEmbeddings,
      List<String> problems,
      Consumer<String> notices) {
    this.model = model;
    this.rope = rope;
    this.thetaKey = thetaKey;
    this.phi = phi;
    this.maxPositionEmbeddings = maxPositionEmbeddings;
    this.problems = problems;
    this.notices = notices;
  }

  private static ConfigFields ofAll(ConfigFields model, Consumer<String> notices) {
    ConfigFields parameters = object(model, PARAMETERS);
    ConfigFields scaling = object(model, SCALING);
    if (!scaling.isEmpty() && !parameters.isEmpty()) {
      notices.accept("'rope_parameters' is ignored because 'rope_scaling' is there");
    }
    return scaling.isEmpty() ? parameters : scaling;
  }

  /** Phi 3's, which may rotate a part of each head, and stretch by LongRoPE alone. */
  static RopeFields phi(
      ConfigFields model,
      int maxPositionEmbeddings,
      List<String> problems,
      Consumer<String> notices) {
    ConfigFields rope = ofAll(model, notices);
    return new RopeFields(model, rope, THETA, true, maxPositionEmbeddings, problems, notices);
  }

  /** The share of a head's elements that is rotated: what is inside wins over what is outside. */
  double partialRotaryFactor() {
    ConfigFields fields = rope.hasValue(PARTIAL) ? rope : model;
    double share = fields.hasValue(PARTIAL) ? fields.number(PARTIAL, 1) : 1;
    if (!(share > 0 && share <= 1)) {
      fields.wrong(PARTIAL, "a number above 0, up to 1");
      return 1;
    }
    return share;
  }

  /** The fields of layers that see everything, where those that slide have their own. */
  static RopeFields full(
      ConfigFields model,
      int maxPositionEmbeddings,
      List<String> problems,
      Consumer<String> notices) {
    ConfigFields parameters = object(model, PARAMETERS);
    ConfigFields scaling = object(model, SCALING);
    if (!parameters.unread(LAYER_TYPES).isEmpty()) {
      model.wrong(PARAMETERS, "an object for each of " + LAYER_TYPES.stream().sorted().toList());
    }
    if (!scaling.isEmpty() && !parameters.isEmpty()) {
      model.wrong(SCALING, "none, as 'rope_parameters' is there");
    }
    ConfigFields rope = scaling.isEmpty() ? object(parameters, FULL) : scaling;
    return new RopeFields(model, rope, THETA, false, maxPositionEmbeddings, problems, notices);
  }

  /** The fields of layers that slide. */
  static RopeFields sliding(
      ConfigFields model,
      int maxPositionEmbeddings,
      List<String> problems,
      Consumer<String> notices) {
    ConfigFields rope = object(object(model, PARAMETERS), SLIDING);
    return new RopeFields(
        model, rope, LOCAL_THETA, false, maxPositionEmbeddings, problems, notices);
  }

  private static ConfigFields object(ConfigFields parent, String key) {
    return parent.object(key).orElseGet(() -> parent.none(key));
  }

  /**
   * @param defaultTheta where the file names none
   */
  double theta(double defaultTheta) {
    double outside = model.number(thetaKey, defaultTheta);
    return rope.number(THETA, outside);
  }

  RopeScaling scaling() {
    int before = problems.size();
    if (phi) {
      rope.hasValue(PARTIAL); // partialRotaryFactor's
    } else {
      refusePartialRotation(model);
      refusePartialRotation(rope);
    }
    String type = type();
    if (problems.size() > before) {
      return new RopeScaling.Default();
    }
    RopeScaling scaling = new RopeScaling.Default();
    try {
      scaling = build(type);
    } catch (InvalidInputException e) {
      if (problems.size() == before) {
        e.problems().forEach(line -> problems.add("'" + rope.prefix() + line.substring(1)));
      }
    }
    List<String> unread = rope.unread(Set.of());
    if (!unread.isEmpty()) {
      notices.accept("rope type '" + type + "' has no use for " + unread + ": ignored");
    }
    return scaling;
  }

  /** The one type that the fields name, {@code default} where they name none and scale nothing. */
  private String type() {
    String type = rope.string("rope_type", rope.string("type", ""));
    if (type.isEmpty()) {
      List<String> values = rope.unread(Set.of(THETA, PARTIAL, ORIGINAL));
      if (!values.isEmpty() || rope.has("rope_type") || rope.has("type")) {
        wrongType(rope.has("type") && !rope.has("rope_type") ? "type" : "rope_type");
      }
      return "default";
    }
    if (!type.equals(rope.string("type", type))) {
      rope.wrong("type", "the same as 'rope_type', which is '" + type + "'");
    } else if (!types().contains(type)) {
      wrongType(rope.has("rope_type") ? "rope_type" : "type");
    }
    return type;
  }

  private void wrongType(String key) {
    rope.wrong(key, "one of " + types());
  }

  private List<String> types() {
    return phi ? PHI_TYPES : TYPES;
  }

  private void refusePartialRotation(ConfigFields fields) {
    if (fields.hasValue(PARTIAL) && fields.number(PARTIAL, 1) != 1) {
      fields.wrong(PARTIAL, "1: this architecture rotates the whole head");
    }
  }

  private RopeScaling build(String type) {
    if (phi && !type.equals("default")) {
      return longRope();
    }
    return switch (type) {
      case "linear" -> new RopeScaling.Linear(required("factor"));
      case "llama3" ->
          new RopeScaling.Llama3(
              required("factor"),
              required("low_freq_factor"),
              required("high_freq_factor"),
              originalLength());
      case "yarn" -> yarn();
      default -> new RopeScaling.Default();
    };
  }

  private RopeScaling longRope() {
    List<Double> shorter = rope.numbers("short_factor");
    List<Double> longer = rope.numbers("long_factor");
    int original = originalLength();
    double factor =
        rope.hasValue("factor")
            ? rope.number("factor", 1)
            : (double) maxPositionEmbeddings / Math.max(1, original);
    return rope.hasValue("attention_factor")
        ? new RopeScaling.LongRope(shorter, longer, rope.number("attention_factor", 1), original)
        : RopeScaling.LongRope.suggested(shorter, longer, factor, original);
  }

  private RopeScaling yarn() {
    int original = originalLength();
    if (!rope.has("factor")) {
      rope.wrong("factor", "a number, or null for max_position_embeddings / " + ORIGINAL);
    }
    // The double is exact for both lengths, so this is Python's true division.
    double factor = orZero("factor");
    if (!rope.hasValue("factor")) {
      factor = (double) maxPositionEmbeddings / original;
    }
    OptionalDouble attention =
        rope.hasValue("attention_factor")
            ? OptionalDouble.of(rope.number("attention_factor", 1))
            : OptionalDouble.empty();
    double fast = orZero("beta_fast");
    double slow = orZero("beta_slow");
    boolean truncate = rope.flag("truncate", true);
    return new RopeScaling.Yarn(
        factor,
        attention,
        fast == 0 ? 32 : fast, // transformers takes zero for absent
        slow == 0 ? 1 : slow,
        orZero("mscale"),
        orZero("mscale_all_dim"),
        original,
        truncate);
  }

  private double required(String key) {
    if (!rope.hasValue(key)) {
      rope.wrong(key, "a number");
      return 1;
    }
    return rope.number(key, 1);
  }

  private double orZero(String key) {
    return rope.hasValue(key) ? rope.number(key, 0) : 0;
  }

  private int originalLength() {
    if (model.hasValue(ORIGINAL)) {
      rope.hasValue(ORIGINAL); // overruled, thus accounted for
      return model.integer(ORIGINAL, maxPositionEmbeddings);
    }
    if (rope.has(ORIGINAL)) {
      return rope.integer(ORIGINAL, maxPositionEmbeddings);
    }
    if (phi) {
      return PHI_ORIGINAL_LENGTH; // the configuration class has a default for it
    }
    notices.accept(
        rope.quoted(ORIGINAL)
            + " is missing: taken to be max_position_embeddings, "
            + maxPositionEmbeddings);
    return maxPositionEmbeddings;
  }
}
