package ai.nibble.data;

import ai.nibble.InvalidInputException;
import ai.nibble.data.regex.Letters;
import ai.nibble.data.regex.RegexBound;
import ai.nibble.data.regex.RegexException;
import com.fasterxml.jackson.databind.JsonNode;
import java.nio.file.Path;
import java.text.Normalizer;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * Checks what stands around a tokenizer's model: normalizers, splits, decoders, post-processors,
 * truncation. Each rule stands for a file that ended the process in the native library, or held it
 * up without end.
 *
 * <p>A component is known by its {@code type}: one without, or of another, the library takes for
 * whatever its fields resemble, past all checks.
 */
final class ComponentCheck {
  /** Components by part of the file, and the names of their lists of others. */
  private static final Map<String, Set<String>> TYPES =
      Map.of(
          "normalizer",
          Set.of(
              ("BertNormalizer Strip StripAccents NFC NFD NFKC NFKD Sequence Lowercase Nmt"
                      + " Precompiled Replace Prepend ByteLevel")
                  .split(" ")),
          "pre_tokenizer",
          Set.of(
              ("BertPreTokenizer ByteLevel CharDelimiterSplit Metaspace Whitespace Sequence Split"
                      + " Punctuation WhitespaceSplit Digits UnicodeScripts FixedLength")
                  .split(" ")),
          "decoder",
          Set.of(
              ("BPEDecoder ByteLevel WordPiece Metaspace CTC Sequence Replace Fuse Strip"
                      + " ByteFallback")
                  .split(" ")));

  private static final Map<String, String> LISTS =
      Map.of("normalizer", "normalizers", "pre_tokenizer", "pretokenizers", "decoder", "decoders");

  /** Of the types that the library finds by their fields: no other fields than these. */
  private static final Map<String, Set<String>> FIELDS =
      Map.of(
          "BertNormalizer",
          Set.of("type", "clean_text", "handle_chinese_chars", "strip_accents", "lowercase"),
          "CharDelimiterSplit",
          Set.of("type", "delimiter"),
          "Precompiled",
          Set.of("type", "precompiled_charsmap"));

  /** The library tries a nested list anew at each level above it. */
  private static final int MAX_DEPTH = 6;

  private static final int MAX_COMPONENTS = 200;

  /** How many characters a normalizer, or a decoder, may make of one. */
  private static final double MAX_GROWTH = 16;

  /** Of text to be looked for: without it a search takes as long as text and pattern multiplied. */
  private static final int MAX_LITERAL = 256;

  private static final int MAX_NORMAL_FORM = 18;

  /** A character's bytes as characters of their own, with a space before them. */
  private static final int MAX_REWRITE = 5;

  /** Normalizers that leave white space what it is, and what is none too. */
  private static final Set<String> KEEP_WHITE =
      Set.of("NFC", "NFD", "NFKC", "NFKD", "Lowercase", "Strip", "Sequence");

  private final Path path;
  private String part;
  private int components;
  private double growth = 1;
  private int expansion = 1;

  /** Components so far that spell each byte, or each space, as a character of their own. */
  private int rewrites;

  private int charsmaps;

  /** Whether runs of the text are those that an expression meets. */
  private boolean asWritten = true;

  private TextLimits limits = TextLimits.NONE;

  private ComponentCheck(Path path) {
    this.path = path;
  }

  /**
   * @param root of the file; its vocabulary and merges may be left out
   * @return what follows for the texts
   */
  static TextLimits check(Path path, JsonNode root) {
    return new ComponentCheck(path).all(root);
  }

  private TextLimits all(JsonNode root) {
    for (String each : List.of("normalizer", "pre_tokenizer")) {
      part = each;
      component(each, root.path(each), 1);
    }
    TextLimits encoding = limits;
    double grown = growth;
    growth = 1;
    rewrites = 0;
    part = "decoder";
    requireWholeNumbers(part, root.path(part));
    component(part, root.path(part), 1);
    PostProcessorCheck.check(path, "post_processor", root.path("post_processor"));
    truncation(root.path("truncation"));
    return new TextLimits(grown, expansion, encoding.white(), encoding.other(), encoding.any());
  }

  private InvalidInputException problem(String where, String what) {
    return new InvalidInputException(path + ": " + where + ": " + what);
  }

  /** A number that does not fit ends the process where the library reads a decoder. */
  private void requireWholeNumbers(String where, JsonNode node) {
    if (node.isNumber() && !(node.isIntegralNumber() && node.canConvertToLong())) {
      throw problem(where, "has the number " + JsonFiles.shown(node) + ", expected whole numbers");
    }
    node.forEach(inner -> requireWholeNumbers(where, inner));
  }

  private void truncation(JsonNode truncation) {
    long stride = truncation.path("stride").asLong(0);
    if (truncation.isObject() && stride >= truncation.path("max_length").asLong(Long.MAX_VALUE)) {
      throw problem(
          "truncation",
          "'stride' is "
              + stride
              + ", expected below 'max_length' "
              + JsonFiles.shown(truncation.path("max_length")));
    }
  }

  private void component(String where, JsonNode node, int depth) {
    if (node.isMissingNode() || node.isNull()) {
      return;
    }
    String type = node.path("type").asText();
    if (!node.isObject() || !node.path("type").isTextual() || !TYPES.get(part).contains(type)) {
      throw problem(
          where,
          (node.isObject() ? "'type' is " + JsonFiles.shown(node.path("type")) : "is no object")
              + ", expected one of "
              + TYPES.get(part).stream().sorted().toList());
    }
    Set<String> fields = FIELDS.get(type);
    if (fields != null) {
      node.fieldNames().forEachRemaining(name -> requireField(where, type, fields, name));
    }
    if (++components > MAX_COMPONENTS || depth > MAX_DEPTH) {
      throw problem(
          where,
          components > MAX_COMPONENTS
              ? "more than " + MAX_COMPONENTS + " components"
              : "lists in lists, more than " + MAX_DEPTH + " deep");
    }
    if (type.equals("Sequence")) {
      sequence(where, node.path(LISTS.get(part)), depth);
    } else {
      settings(where, type, node);
      alters(type);
    }
    if (growth > MAX_GROWTH) {
      throw problem(
          where,
          "makes a text up to "
              + Math.round(growth)
              + " times as long, expected at most "
              + (int) MAX_GROWTH
              + " times");
    }
  }

  private void requireField(String where, String type, Set<String> fields, String name) {
    if (!fields.contains(name)) {
      throw problem(where, "'" + JsonFiles.shown(name) + "' is no setting of " + type);
    }
  }

  private void sequence(String where, JsonNode list, int depth) {
    String name = where + "." + LISTS.get(part);
    if (!list.isArray()) {
      throw problem(name, "is " + JsonFiles.shown(list) + ", expected a list");
    }
    for (int i = 0; i < list.size(); i++) {
      if (!list.get(i).isObject()) {
        throw problem(name + "[" + i + "]", "is no object");
      }
      component(name + "[" + i + "]", list.get(i), depth + 1);
    }
  }

  private void settings(String where, String type, JsonNode node) {
    switch (type) {
      case "Precompiled" -> {
        PrecompiledCharsmap.Growth grows =
            PrecompiledCharsmap.check(path, where, node.get("precompiled_charsmap"));
        // of a single one Unicode's own are known by 'expansion'
        growth *= charsmaps++ == 0 ? grows.beyond(MAX_NORMAL_FORM) : grows.beyond(1);
      }
      case "ByteLevel", "Metaspace" -> growth *= rewrites++ == 0 ? 1 : MAX_REWRITE;
      case "BertNormalizer" -> growth *= 3; // spaces around each ideograph
      case "Prepend" -> {
        String text = node.path("prepend").asText("▁");
        require(where, node, "prepend", !text.isEmpty(), "one that is not empty");
        growth *= 1 + normalLength(text);
      }
      case "FixedLength" ->
          require(where, node, "length", node.path("length").asLong(1) > 0, "1 or above");
      case "BPEDecoder" -> growth *= node.path("suffix").asText("</w>").isEmpty() ? 2 : 1;
      case "Strip" -> {
        if (part.equals("decoder")) {
          // it cuts at the end beyond the beginning of a short token
          boolean zero = node.path("stop").isIntegralNumber() && node.path("stop").asLong() == 0;
          require(where, node, "stop", zero, "0");
        }
      }
      case "Replace", "Split" -> pattern(where, type, node);
      default -> {}
    }
  }

  private void require(String where, JsonNode node, String name, boolean holds, String expected) {
    if (!holds) {
      throw problem(
          where,
          "'" + name + "' is " + JsonFiles.shown(node.path(name)) + ", expected " + expected);
    }
  }

  private void pattern(String where, String type, JsonNode node) {
    JsonNode literal = node.path("pattern").path("String");
    JsonNode regex = node.path("pattern").path("Regex");
    if (literal.isTextual() == regex.isTextual()) {
      throw problem(
          where,
          "'pattern' is "
              + JsonFiles.shown(node.path("pattern"))
              + ", expected {\"String\": …} or {\"Regex\": …}");
    }
    String text = literal.isTextual() ? literal.asText() : regex.asText();
    int shortest = literal.isTextual() ? text.codePointCount(0, text.length()) : regex(where, text);
    boolean mayBeEmpty = type.equals("Split") && regex.isTextual();
    if (shortest == 0 && !mayBeEmpty) {
      // the library then writes text where none stands, and loses count of it
      throw problem(
          where,
          "the pattern '"
              + JsonFiles.shown(text)
              + "' matches an empty text, expected one that matches something");
    }
    if (literal.isTextual() && shortest > MAX_LITERAL) {
      throw problem(
          where, "'pattern' has " + shortest + " characters, expected at most " + MAX_LITERAL);
    }
    if (type.equals("Replace")) {
      String content = node.path("content").asText();
      growth *= Math.max(1, (double) normalLength(content) / shortest);
    }
  }

  /** Characters of a text, where a normal form may come after and take them apart. */
  static int normalLength(String text) {
    String apart = Normalizer.normalize(text, Normalizer.Form.NFKD);
    return Math.max(text.codePointCount(0, text.length()), apart.codePointCount(0, apart.length()));
  }

  /** The length of its shortest match. */
  private int regex(String where, String pattern) {
    try {
      RegexBound bound = RegexBound.of(pattern);
      if (!bound.letters().isEmpty()) {
        if (part.equals("decoder")) {
          throw new RegexException("goes back over runs of characters, which no decoder needs");
        }
        limit(bound, pattern);
      }
      return bound.minLength();
    } catch (RegexException e) {
      throw problem(where, "the pattern '" + JsonFiles.shown(pattern) + "' " + e.getMessage());
    }
  }

  private void limit(RegexBound bound, String pattern) {
    int run = (int) (bound.longestRun() / growth);
    for (Letters letters : asWritten ? bound.letters() : Set.of(Letters.ANY)) {
      limits = limits.with(letters, run, pattern);
    }
  }

  /** Notes what comes after may meet another text than was written. */
  private void alters(String type) {
    if (part.equals("normalizer")) {
      asWritten &= KEEP_WHITE.contains(type);
      expansion = type.equals("NFC") && expansion == 1 ? 4 : MAX_NORMAL_FORM;
    } else if (part.equals("pre_tokenizer")) {
      asWritten &= !type.equals("ByteLevel") && !type.equals("Metaspace");
    }
  }
}
