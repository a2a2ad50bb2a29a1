package ai.nibble.data.bpe;

import java.util.List;

/**
 * What training gives.
 *
 * @param tokens by id: special tokens, the byte alphabet, then what merges made, in order
 * @param special how many of the first tokens are special
 * @param merges pairs of tokens by rank
 */
public record BpeVocabulary(List<String> tokens, int special, List<Merge> merges) {
  /** Two tokens that become one. */
  public record Merge(String left, String right) {}

  public BpeVocabulary {
    tokens = List.copyOf(tokens);
    merges = List.copyOf(merges);
  }
}
