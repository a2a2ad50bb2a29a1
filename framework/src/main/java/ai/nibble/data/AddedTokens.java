package ai.nibble.data;

import ai.nibble.InvalidInputException;
import ai.nibble.data.regex.Letters;
import com.fasterxml.jackson.databind.JsonNode;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/** Reads the tokens beside the model's own, and checks what the library would do with them. */
final class AddedTokens {
  /** The library compares each with all before it. */
  private static final int MOST = 1 << 15;

  private static final int LONGEST = 4096;

  /** Characters of all; the library builds an automaton with a state or two for each. */
  private static final int MOST_CHARACTERS = 1 << 20;

  private final Path path;
  private final VocabularyReader vocabulary;

  AddedTokens(Path path, VocabularyReader vocabulary) {
    this.path = path;
    this.vocabulary = vocabulary;
  }

  /**
   * @param outline of the file
   * @return in the file's order; the vocabulary has them too
   */
  List<TokenizerFile.AddedToken> read(JsonNode outline) {
    JsonNode list = outline.path("added_tokens");
    if (list.size() > MOST) {
      throw problem(list.size() + " tokens, expected at most " + MOST);
    }
    long characters = 0;
    for (JsonNode each : list) {
      characters += each.path("content").asText().length();
    }
    if (characters > MOST_CHARACTERS) {
      throw problem(characters + " characters in all, expected at most " + MOST_CHARACTERS);
    }
    requireApart(list);
    Emptiness emptiness = new Emptiness(outline.path("normalizer"));
    List<TokenizerFile.AddedToken> added = new ArrayList<>();
    int highest = -1;
    for (JsonNode each : list) {
      TokenizerFile.AddedToken token = token(each, highest);
      if (each.path("normalized").asBoolean(false) && emptiness.mayEmpty(token.text())) {
        // the library then finds it between all bytes, and within letters
        throw problem(
            "'"
                + JsonFiles.shown(token.text())
                + "' is 'normalized', and the normalizer may leave nothing of it");
      }
      highest = Math.max(highest, token.id());
      added.add(token);
    }
    return List.copyOf(added);
  }

  private InvalidInputException problem(String what) {
    return new InvalidInputException(path + ": added_tokens: " + what);
  }

  private TokenizerFile.AddedToken token(JsonNode each, int highest) {
    String text = each.path("content").textValue();
    if (text == null || text.isEmpty() || text.length() > LONGEST) {
      throw problem(
          JsonFiles.shown(each) + " has no 'content', expected up to " + LONGEST + " characters");
    }
    Integer known = vocabulary.ids().get(text);
    JsonNode given = each.path("id");
    if (!given.isIntegralNumber() || !given.canConvertToInt() || given.asInt() < 0) {
      throw vocabulary.noId("added_tokens", text, given.toString());
    }
    int id = given.asInt();
    vocabulary.put("added_tokens", text, id);
    // The library ignores the id in the file and counts on; where the two differ, whatever was
    // trained would be saved under other ids than the file says.
    int next = known != null ? known : Math.max(highest + 1, vocabulary.tokens());
    if (next != id) {
      throw problem(
          "'"
              + JsonFiles.shown(text)
              + "' has id "
              + id
              + ", expected "
              + next
              + (known != null ? ", its id in the vocabulary" : ", the next free one"));
    }
    return new TokenizerFile.AddedToken(text, id, each.path("special").asBoolean(false));
  }

  /**
   * One that takes the white space behind it may take the whole of one that begins with white
   * space; where that one takes what stands before it, the library cuts from behind to before.
   */
  private void requireApart(JsonNode list) {
    String takesBehind = null;
    String takesBefore = null;
    for (JsonNode each : list) {
      String text = each.path("content").asText();
      if (each.path("rstrip").asBoolean(false)) {
        takesBehind = text;
      }
      if (each.path("lstrip").asBoolean(false)
          && !text.isEmpty()
          && Letters.isWhite(text.charAt(0))) {
        takesBefore = text;
      }
    }
    if (takesBehind != null && takesBefore != null) {
      throw problem(
          "'rstrip' of '"
              + JsonFiles.shown(takesBehind)
              + "' and 'lstrip' of '"
              + JsonFiles.shown(takesBefore)
              + "', which begins with white space, can take the same text");
    }
  }

  /** Whether a normalizer may leave nothing of a text. */
  private static final class Emptiness {
    private final List<JsonNode> steps = new ArrayList<>();

    Emptiness(JsonNode normalizer) {
      collect(normalizer);
    }

    private void collect(JsonNode node) {
      if (node.path("type").asText().equals("Sequence")) {
        node.path("normalizers").forEach(this::collect);
      } else if (node.isObject()) {
        steps.add(node);
      }
    }

    boolean mayEmpty(String text) {
      String left = text;
      boolean known = true; // whether what is left is all that can be
      boolean visible = hasVisible(left);
      for (JsonNode step : steps) {
        String type = step.path("type").asText();
        switch (type) {
          case "Replace" -> {
            String content = step.path("content").asText();
            String literal = step.path("pattern").path("String").textValue();
            boolean exact = literal != null && known;
            if (!exact && content.isEmpty()) {
              return true;
            }
            left = exact ? left.replace(literal, content) : left;
            visible = exact ? hasVisible(left) : visible && hasVisible(content);
            known = exact;
          }
          case "Strip", "StripAccents", "Nmt", "BertNormalizer", "Precompiled" -> {
            if (!visible) {
              return true; // these take away spaces, marks and what is not printed
            }
            known &= type.equals("Strip");
          }
          case "Prepend" -> left = step.path("prepend").asText("▁") + left;
          case "Lowercase" -> {
            left = left.toLowerCase(Locale.ROOT);
            known &= isAscii(left);
          }
          default -> known &= isAscii(left) && type.startsWith("NF");
        }
        if (left.isEmpty()) {
          return true;
        }
      }
      return false;
    }

    private static boolean isAscii(String text) {
      return text.chars().allMatch(c -> c < 128);
    }

    private static boolean hasVisible(String text) {
      return text.chars().anyMatch(c -> c > ' ' && c < 127);
    }
  }
}
