package ai.nibble.data;

import ai.nibble.data.jinja.Rendering;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * The control tokens of a tokenizer, found in rendered text; longest first, from the left, as the
 * library finds them.
 *
 * <p>Where a message's own text spells one, the tokenizer is opened a second time with every
 * control token under a private name. The template's tokens are written by those names, so the
 * messages' spell nothing, and all else is split exactly as before.
 */
final class ControlTokens {
  // The last code point of all, of private use: normalizers leave it alone and texts do not use it.
  private static final String MARK = new String(Character.toChars(0x10FFFD));

  private final Map<Character, List<TokenizerFile.AddedToken>> byFirst = new HashMap<>();
  private final Set<Integer> ids = new HashSet<>();

  ControlTokens(List<TokenizerFile.AddedToken> added) {
    for (TokenizerFile.AddedToken token : added) {
      if (token.special()) {
        byFirst.computeIfAbsent(token.text().charAt(0), c -> new ArrayList<>()).add(token);
        ids.add(token.id());
      }
    }
    Comparator<TokenizerFile.AddedToken> longest =
        Comparator.comparingInt(token -> -token.text().length());
    byFirst.values().forEach(list -> list.sort(longest));
  }

  /** A control token in a text: characters {@code [begin, end)}. */
  record Match(int begin, int end, int id) {}

  boolean isControl(int id) {
    return ids.contains(id);
  }

  boolean hasForged(Rendering rendering) {
    return firstForged(rendering) != null;
  }

  /** The first control token that is not the template's alone, or null. */
  String firstForged(Rendering rendering) {
    Origins origins = new Origins(rendering);
    for (Match match : find(rendering.text(), null)) {
      if (!origins.isTemplate(match.begin(), match.end())) {
        return rendering.text().substring(match.begin(), match.end());
      }
    }
    return null;
  }

  /** Those that the template wrote. */
  List<Match> written(Rendering rendering) {
    return find(rendering.text(), new Origins(rendering));
  }

  /**
   * @param origins where given, only tokens whose every character is the template's count
   */
  private List<Match> find(String text, Origins origins) {
    List<Match> found = new ArrayList<>();
    int i = 0;
    while (i < text.length()) {
      Match match = matchAt(text, i, origins);
      if (match != null) {
        found.add(match);
      }
      i = match == null ? i + 1 : match.end();
    }
    return found;
  }

  private Match matchAt(String text, int at, Origins origins) {
    for (TokenizerFile.AddedToken token : byFirst.getOrDefault(text.charAt(at), List.of())) {
      int end = at + token.text().length();
      if (text.startsWith(token.text(), at) && (origins == null || origins.isTemplate(at, end))) {
        return new Match(at, end, token.id());
      }
    }
    return null;
  }

  /**
   * A rendered text with its real control tokens under their private names.
   *
   * @param tokens how many
   * @param cuts {@code {masked begin, masked end, original begin, original end}} of each
   */
  record Masked(String text, int tokens, List<int[]> cuts) {
    /** Where a place in the masked text was. */
    int original(int masked) {
      int shift = 0;
      for (int[] cut : cuts) {
        if (masked < cut[1]) {
          return masked <= cut[0] ? masked + shift : cut[2];
        }
        shift = cut[3] - cut[1];
      }
      return masked + shift;
    }
  }

  Masked mask(Rendering rendering) {
    StringBuilder text = new StringBuilder();
    List<int[]> cuts = new ArrayList<>();
    int from = 0;
    for (Match match : written(rendering)) {
      text.append(rendering.text(), from, match.begin());
      int begin = text.length();
      text.append(name(match.id()));
      cuts.add(new int[] {begin, text.length(), match.begin(), match.end()});
      from = match.end();
    }
    text.append(rendering.text(), from, rendering.text().length());
    return new Masked(text.toString(), cuts.size(), cuts);
  }

  private static String name(int id) {
    return MARK + id + MARK;
  }

  /** The tokenizer's file with every control token under its private name. */
  ObjectNode maskedFile(ObjectNode file) {
    Map<String, String> names = new HashMap<>();
    byFirst.values().forEach(list -> list.forEach(t -> names.put(t.text(), name(t.id()))));
    for (JsonNode token : file.path("added_tokens")) {
      rename((ObjectNode) token, "content", names);
    }
    ObjectNode model = (ObjectNode) file.get("model");
    rename(model, "unk_token", names);
    if (model.get("vocab") instanceof ObjectNode vocab) {
      names.forEach(
          (text, name) -> {
            JsonNode id = vocab.remove(text);
            if (id != null) {
              vocab.set(name, id);
            }
          });
    } else if (model.get("vocab") instanceof ArrayNode pieces) {
      for (JsonNode piece : pieces) {
        String name = names.get(piece.get(0).asText());
        if (name != null) {
          ((ArrayNode) piece).set(0, name);
        }
      }
    }
    return file;
  }

  private static void rename(ObjectNode node, String key, Map<String, String> names) {
    String name = names.get(node.path(key).asText());
    if (name != null) {
      node.put(key, name);
    }
  }
}
