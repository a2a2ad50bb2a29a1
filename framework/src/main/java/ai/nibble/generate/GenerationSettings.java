package ai.nibble.generate;

import ai.nibble.data.Tokenizer;
import java.util.Set;

/**
 * How a model goes on from a prompt.
 *
 * @param maxNewTokens most tokens of an answer, at least 1
 * @param stopTokens any of them ends the answer, and is not part of it
 * @param stopRule ends the answer with the token by which it holds, such as {@link
 *     StopStrings#rule}
 */
public record GenerationSettings(
    int maxNewTokens, Set<Integer> stopTokens, Sampler sampler, StopRule stopRule) {
  /** Most new tokens where nothing is said. */
  public static final int MAX_NEW_TOKENS = 256;

  public GenerationSettings {
    stopTokens = Set.copyOf(stopTokens);
    if (maxNewTokens < 1) {
      throw new IllegalArgumentException(
          "max_new_tokens is " + maxNewTokens + ", expected at least 1");
    }
  }

  /** Settings without a stop rule. */
  public GenerationSettings(int maxNewTokens, Set<Integer> stopTokens, Sampler sampler) {
    this(maxNewTokens, stopTokens, sampler, StopRule.NEVER);
  }

  /**
   * The same, of the tokens that a tokenizer has and those that end an answer. Many models have
   * rows for more ids: nothing was learned there, and such a token has no text.
   */
  public GenerationSettings within(Tokenizer tokenizer) {
    int tokens = tokenizer.vocabSize();
    for (int stop : stopTokens) {
      tokens = Math.max(tokens, stop + 1);
    }
    return new GenerationSettings(maxNewTokens, stopTokens, sampler.among(tokens), stopRule);
  }

  /** The most likely token each time. */
  public static GenerationSettings greedy(int maxNewTokens, Set<Integer> stopTokens) {
    return new GenerationSettings(maxNewTokens, stopTokens, Sampler.GREEDY);
  }
}
