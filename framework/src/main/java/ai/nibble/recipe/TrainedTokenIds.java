package ai.nibble.recipe;

import ai.nibble.lora.TrainableTokens;
import ai.nibble.model.CausalLm;
import ai.nibble.model.ExtendedBase;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Tokens whose rows are trained by themselves ({@code trainable_token_indices}): ids, as PEFT has
 * them of the embedding, or {@code new}, those that the recipe adds, of the embedding and of the
 * head.
 *
 * @param added whether those that are new
 * @param ids the tokens otherwise
 */
public record TrainedTokenIds(boolean added, List<Integer> ids) {
  static final TrainedTokenIds NONE = new TrainedTokenIds(false, List.of());
  static final String NEW = "new";

  /** Copies. */
  public TrainedTokenIds {
    ids = List.copyOf(ids);
  }

  boolean isEmpty() {
    return !added && ids.isEmpty();
  }

  /**
   * As an adapter's configuration has them.
   *
   * @param base with its new tokens
   * @param tied whether embedding and head are one table
   */
  TrainableTokens of(Path base, boolean tied) {
    if (!added) {
      return ids.isEmpty() ? TrainableTokens.NONE : TrainableTokens.ofEmbedding(ids);
    }
    List<Integer> tokens = ExtendedBase.read(base).map(ExtendedBase::newTokens).orElse(List.of());
    Map<String, List<Integer>> rows = new LinkedHashMap<>();
    rows.put(CausalLm.EMBEDDING, tokens);
    if (!tied) {
      rows.put(CausalLm.HEAD, tokens);
    }
    return new TrainableTokens(rows);
  }

  /** How it is read and written. */
  record Type() implements ValueType {
    private static final ValueType IDS =
        new GroupTypes.ListOf(new ScalarTypes.Whole(Range.parse("[0, inf)"), new int[0], false), 0);

    @Override
    public Object read(Node node, Reading at) {
      if (node instanceof Node.Scalar scalar && scalar.text().equals(NEW)) {
        return new TrainedTokenIds(true, List.of());
      }
      if (!(node instanceof Node.Items)) {
        at.reject(node, expected());
        return null;
      }
      Object ids = IDS.read(node, at);
      return ids == null
          ? null
          // that one stands twice was said
          : new TrainedTokenIds(
              false, ((List<?>) ids).stream().map(Integer.class::cast).distinct().toList());
    }

    @Override
    public Object write(Object value) {
      TrainedTokenIds tokens = (TrainedTokenIds) value;
      return tokens.added ? NEW : IDS.write(tokens.ids);
    }

    @Override
    public String expected() {
      return "'new' or a list of token ids";
    }
  }
}
