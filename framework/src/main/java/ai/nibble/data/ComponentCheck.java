package ai.nibble.data;

import ai.nibble.InvalidInputException;
import com.fasterxml.jackson.databind.JsonNode;
import java.nio.file.Path;
import java.util.List;
import java.util.regex.Pattern;
import java.util.regex.PatternSyntaxException;
import java.util.stream.Stream;

/**
 * Checks what stands around a tokenizer's model: normalizers, splits, post-processors, truncation.
 * Each rule stands for a file that ended the process in the native library.
 */
final class ComponentCheck {
  private ComponentCheck() {}

  static void check(Path path, JsonNode root) {
    for (String part : List.of("normalizer", "pre_tokenizer", "decoder", "post_processor")) {
      component(path, part, root.path(part));
    }
    JsonNode truncation = root.path("truncation");
    long stride = truncation.path("stride").asLong(0);
    if (truncation.isObject() && stride >= truncation.path("max_length").asLong(Long.MAX_VALUE)) {
      throw new InvalidInputException(
          path
              + ": truncation: 'stride' is "
              + stride
              + ", expected below 'max_length' "
              + JsonFiles.shown(truncation.path("max_length")));
    }
  }

  private static void component(Path path, String where, JsonNode node) {
    if (node.isArray()) {
      for (int i = 0; i < node.size(); i++) {
        component(path, where + "[" + i + "]", node.get(i));
      }
      return;
    }
    if (!node.isObject()) {
      return;
    }
    switch (node.path("type").asText()) {
      case "Precompiled" ->
          PrecompiledCharsmap.check(path, where, node.get("precompiled_charsmap"));
      case "TemplateProcessing" -> template(path, where, node);
      case "Prepend" -> require(path, where, node, "prepend", !text(node, "prepend").isEmpty());
      case "FixedLength" -> require(path, where, node, "length", node.path("length").asLong(1) > 0);
      default -> {}
    }
    JsonNode regex = node.path("pattern").path("Regex");
    JsonNode literal = node.path("pattern").path("String");
    boolean replaces = node.path("type").asText().equals("Replace");
    if (literal.isTextual() && literal.textValue().isEmpty()
        || replaces && regex.isTextual() && findsNothing(regex.textValue())) {
      // the library then writes text where none stands, and loses count of it
      throw new InvalidInputException(
          path
              + ": "
              + where
              + ": the pattern '"
              + JsonFiles.shown(literal.asText(regex.asText()))
              + "' matches an empty text, expected one that matches something");
    }
    if (regex.isTextual()) {
      String problem = RegexCheck.problem(regex.asText());
      if (problem != null) {
        throw new InvalidInputException(
            path
                + ": "
                + where
                + ": the pattern '"
                + JsonFiles.shown(regex.asText())
                + "' "
                + problem);
      }
    }
    for (String list : List.of("normalizers", "pretokenizers", "decoders", "processors")) {
      component(path, where + "." + list, node.path(list));
    }
  }

  private static String text(JsonNode node, String name) {
    return node.path(name).asText("as the library has it");
  }

  private static void require(
      Path path, String where, JsonNode node, String name, boolean holdsSomething) {
    if (!holdsSomething) {
      throw new InvalidInputException(
          path
              + ": "
              + where
              + ": '"
              + name
              + "' is "
              + JsonFiles.shown(node.path(name))
              + ", expected one that is not empty");
    }
  }

  /**
   * Whether a match may have no length, at an end or between letters. Java's syntax is not the
   * library's: what it does not read is left to {@link RegexCheck}.
   */
  private static boolean findsNothing(String regex) {
    try {
      return regex.length() <= 200
          && Stream.of("", "aA 1.")
              .flatMap(text -> Pattern.compile(regex).matcher(text).results())
              .anyMatch(match -> match.start() == match.end());
    } catch (PatternSyntaxException e) {
      return false;
    }
  }

  private static void template(Path path, String where, JsonNode node) {
    for (String form : List.of("single", "pair")) {
      for (JsonNode piece : node.path(form)) {
        JsonNode name = piece.path("SpecialToken").path("id");
        JsonNode defined = node.path("special_tokens").path(name.asText());
        if (name.isTextual() && !defined.path("ids").isArray()) {
          throw new InvalidInputException(
              path
                  + ": "
                  + where
                  + ": the template names '"
                  + JsonFiles.shown(name.asText())
                  + "', which is not in its special_tokens");
        }
        if (name.isTextual() && defined.path("ids").size() != defined.path("tokens").size()) {
          throw new InvalidInputException(
              path
                  + ": "
                  + where
                  + ": '"
                  + JsonFiles.shown(name.asText())
                  + "' has not as many ids as tokens");
        }
      }
    }
  }
}
