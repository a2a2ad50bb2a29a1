package ai.nibble.recipe;

import ai.nibble.lora.InitLoraWeights;
import java.util.List;
import java.util.Locale;
import java.util.Optional;

/** How adapters begin ({@code init_lora_weights}): a word of {@link InitLoraWeights}. */
record InitLoraWeightsType() implements ValueType {
  private static final List<String> WORDS =
      List.of("true", "gaussian", "orthogonal", "pissa", "pissa_niter_N", "olora", "loftq");

  @Override
  public Object read(Node node, Reading at) {
    Node.Scalar scalar = ScalarTypes.scalar(node, this, at);
    if (scalar == null) {
      return null;
    }
    // True is true: booleans are words here
    boolean word = scalar.kind() == ScalarKind.BOOLEAN;
    String text = word ? scalar.text().toLowerCase(Locale.ROOT) : scalar.text();
    Optional<InitLoraWeights> how = InitLoraWeights.of(text);
    if (how.isEmpty()) {
      at.reject(node, expected() + NearestName.hint(text, WORDS));
      return null;
    }
    return how.get();
  }

  @Override
  public Object write(Object value) {
    return ((InitLoraWeights) value).text();
  }

  @Override
  public String expected() {
    return "one of [" + String.join(", ", WORDS) + "]";
  }
}
