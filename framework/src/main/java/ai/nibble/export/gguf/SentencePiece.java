package ai.nibble.export.gguf;

import ai.nibble.data.TokenizerContents;
import com.fasterxml.jackson.databind.JsonNode;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.regex.Pattern;

/**
 * What llama.cpp's SentencePiece needs of a tokenizer that Hugging Face made from one: BPE with
 * {@code byte_fallback}, a space being {@code ▁}, as of Llama 2 and Mistral.
 *
 * <p>There a pair is joined by the score of the token that comes out, the highest first; here by
 * the rank of the pair. Hugging Face's conversion sorts the pairs by that score, so the first pair
 * that makes a token tells its place: as score serves the negative rank.
 */
final class SentencePiece {
  // llama.cpp's llama_token_type
  private static final int UNKNOWN = 2;
  private static final int BYTE = 6;

  private static final String SPACE = "▁";
  private static final Pattern RUN = Pattern.compile(SPACE + SPACE + "+");
  private static final Pattern BYTE_TOKEN = Pattern.compile("<0x[0-9A-F]{2}>");

  private final TokenizerContents contents;
  private final boolean addsSpace;

  private SentencePiece(TokenizerContents contents, boolean addsSpace) {
    this.contents = contents;
    this.addsSpace = addsSpace;
  }

  /** Empty where the tokenizer is of another kind. */
  static Optional<SentencePiece> of(TokenizerContents contents) {
    if (!contents.modelType().equals("BPE") || !contents.byteFallback()) {
      return Optional.empty();
    }
    boolean marks = false;
    boolean adds = false;
    List<JsonNode> steps = new ArrayList<>(steps(contents.normalizer(), "normalizers"));
    steps.addAll(steps(contents.preTokenizer(), "pretokenizers"));
    for (JsonNode step : steps) {
      switch (step.path("type").asText()) {
        case "Prepend" -> adds |= step.path("prepend").asText().equals(SPACE);
        case "Replace" -> marks |= step.path("content").asText().equals(SPACE);
        case "Metaspace" -> {
          marks |= step.path("replacement").asText().equals(SPACE);
          adds |= !step.path("prepend_scheme").asText("always").equals("never");
        }
        case "Split" -> { // Gemma 3's, at spaces that are marks by then: parts nothing
          if (!step.path("pattern").path("String").asText().equals(" ")) {
            return Optional.empty();
          }
        }
        default -> {
          return Optional.empty();
        }
      }
    }
    return marks ? Optional.of(new SentencePiece(contents, adds)) : Optional.empty();
  }

  private static List<JsonNode> steps(JsonNode node, String list) {
    if (!node.path("type").asText().equals("Sequence")) {
      return node.isObject() ? List.of(node) : List.of();
    }
    List<JsonNode> steps = new ArrayList<>();
    node.path(list).forEach(steps::add);
    return steps;
  }

  /** A plain added token's text: llama.cpp looks for it in text whose spaces are not marked yet. */
  static String asWritten(String text) {
    return RUN.matcher(text).matches() ? text.replace(SPACE, " ") : text;
  }

  /** Whether text gets a space in front. */
  boolean addsSpace() {
    return addsSpace;
  }

  /** One for each token: 0 where no pair makes it, which then never decides. */
  float[] scores(int vocabSize) {
    Map<String, Integer> ids = new HashMap<>();
    contents.tokens().forEach((id, text) -> ids.put(text, id));
    float[] scores = new float[vocabSize];
    int rank = 0;
    for (String merge : contents.merges()) {
      rank++;
      Integer id = ids.get(merge.replaceFirst(" ", ""));
      if (id != null && scores[id] == 0) {
        scores[id] = -rank;
      }
    }
    return scores;
  }

  /** Sets the types of bytes and of the unknown token. */
  void mark(int[] types) {
    contents
        .tokens()
        .forEach(
            (id, text) -> {
              if (BYTE_TOKEN.matcher(text).matches()) {
                types[id] = BYTE;
              } else if (contents.unknown().filter(text::equals).isPresent()) {
                types[id] = UNKNOWN;
              }
            });
  }
}
