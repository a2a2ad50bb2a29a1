package ai.nibble.cli;

import ai.nibble.data.Tokenizer;
import ai.nibble.generate.GenerationSettings;
import ai.nibble.generate.SamplingConfig;
import ai.nibble.generate.StopStrings;
import java.util.Set;
import java.util.TreeSet;

/**
 * How answers are written.
 *
 * @param description one line that says which setting came from where
 */
record Decoding(SamplingConfig sampling, int maxNewTokens, StopStrings stops, String description) {

  /**
   * For a model.
   *
   * @param stopTokens the model's own; a stop string that is a control token joins them, since such
   *     tokens have no text
   */
  GenerationSettings settings(Set<Integer> stopTokens, Tokenizer tokenizer) {
    Set<Integer> all = new TreeSet<>(stopTokens);
    for (String stop : stops.strings()) {
      tokenizer.tokenToId(stop).stream().filter(tokenizer::isControl).forEach(all::add);
    }
    return new GenerationSettings(maxNewTokens, all, sampling.sampler(), stops.rule(tokenizer))
        .within(tokenizer);
  }
}
