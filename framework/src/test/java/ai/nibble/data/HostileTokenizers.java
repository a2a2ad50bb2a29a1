package ai.nibble.data;

import ai.nibble.InvalidInputException;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Random;

/**
 * A program that loads tokenizers made at random of what ends or holds up a process, and encodes
 * and decodes with those that are taken. Its own end says how it went: by a signal where one of
 * them got through.
 */
final class HostileTokenizers {
  /** Twice as many squared are more attempts than the library's engine allows. */
  private static final int RUN = 6000;

  private static final List<String> ATOMS =
      List.of(
          "a",
          "b",
          " ",
          "[ab]",
          "[^a]",
          ".",
          "\\s",
          "\\S",
          "\\w",
          "\\d",
          "\\p{L}",
          "\\p{Lu}",
          "[a-z]",
          "[^\\s\\p{L}]",
          "[\\r\\n]",
          "(?i:a)",
          "\\b",
          "$",
          "^",
          "é",
          "[a&&[^b]]");

  private static final List<String> QUANTIFIERS =
      List.of("", "", "", "*", "+", "?", "{2}", "{1,3}", "{2,}", "*?", "+?", "++", "*+", "{0,40}");

  private static final List<String> GROUPS =
      List.of("(", "(?:", "(?:", "(?i:", "(?=", "(?!", "(?>", "(?<=", "(?<!");

  /** What the engine knows and no published tokenizer needs. */
  private static final List<String> OTHERS =
      List.of(
          "(?~a)",
          "\\K",
          "\\G",
          "(a)\\1",
          "\\g<0>",
          "(?i)",
          "(?<n>a)",
          "\\R",
          "\\X",
          "a{,5}",
          "(?(1)a|b)",
          "[[:alpha:]]",
          "\\h",
          "\\O",
          "(?m:.)",
          "(?#x)",
          "{",
          "a**",
          "a{2}{3}");

  private final ObjectMapper mapper = new ObjectMapper();
  private final Random random;

  private HostileTokenizers(long seed) {
    this.random = new Random(seed);
  }

  /**
   * @param args a directory, a seed, and how many
   */
  public static void main(String[] args) throws Exception {
    Path directory = Path.of(args[0]);
    HostileTokenizers tokenizers = new HostileTokenizers(Long.parseLong(args[1]));
    int taken = 0;
    int refused = 0;
    for (int i = 0; i < Integer.parseInt(args[2]); i++) {
      String json = tokenizers.next().toString();
      Files.writeString(
          directory.resolve("tokenizer.json"), json); // what it ended with, if it does
      long start = System.nanoTime();
      try (Tokenizer tokenizer = Tokenizer.load(directory)) {
        taken++;
        for (String text : texts()) {
          try {
            int[] ids = tokenizer.encode(text).ids();
            tokenizer.decode(ids, false);
            tokenizer.decode(ids, true);
          } catch (InvalidInputException e) {
            requireOneLine(e);
          }
        }
      } catch (InvalidInputException e) {
        refused++;
        requireOneLine(e);
      }
      double seconds = (System.nanoTime() - start) / 1e9;
      if (seconds > 20) {
        throw new AssertionError(seconds + " s");
      }
    }
    System.out.println(taken + " taken, " + refused + " refused");
  }

  private static void requireOneLine(InvalidInputException e) {
    if (e.getMessage().contains("\n") || e.getMessage().length() > 1200) {
      throw new AssertionError(e.getMessage());
    }
  }

  private static List<String> texts() {
    return List.of(
        "",
        "a".repeat(RUN),
        "A".repeat(RUN) + "b",
        " ".repeat(RUN) + "a",
        "ab".repeat(RUN / 2) + "!",
        "aA1 \n".repeat(RUN / 5),
        "1".repeat(RUN) + "x",
        "<end> x <s>  <end>\u00e9\ud83d\ude00<s>\u0000\u0301",
        "a  b   <x>  \t<x>");
  }

  private ObjectNode next() {
    ObjectNode root = mapper.createObjectNode().put("version", "1.0");
    root.putNull("truncation").putNull("padding").putNull("post_processor");
    added(root.putArray("added_tokens"));
    root.set("normalizer", chance(2) ? mapper.nullNode() : component(0, 0));
    root.set("pre_tokenizer", chance(4) ? mapper.nullNode() : component(1, 0));
    root.set("decoder", chance(2) ? mapper.nullNode() : component(2, 0));
    root.set("model", model());
    return root;
  }

  private boolean chance(int ofSo) {
    return random.nextInt(ofSo) == 0;
  }

  private <T> T any(List<T> list) {
    return list.get(random.nextInt(list.size()));
  }

  private void added(ArrayNode list) {
    List<String> texts = List.of("<end>", "<s>", "  ", " ", "x", "\t", "é", "<x>");
    int id = 6;
    for (String text : texts) {
      if (chance(3)) {
        ObjectNode token = list.addObject().put("id", id++).put("content", text);
        for (String manner : List.of("single_word", "lstrip", "rstrip", "normalized", "special")) {
          token.put(manner, chance(3));
        }
      }
    }
  }

  private ObjectNode model() {
    ObjectNode model = mapper.createObjectNode();
    String type = any(List.of("BPE", "BPE", "Unigram", "WordPiece", "WordLevel"));
    model.put("type", type).put("unk_token", "?");
    if (type.equals("Unigram")) {
      model.put("unk_id", random.nextInt(3)).put("byte_fallback", chance(2));
      ArrayNode pieces = model.putArray("vocab");
      for (String piece :
          List.of("?", "a", "b", "ab", chance(4) ? "a".repeat(3000) : " ", "\u2581")) {
        pieces.addArray().add(piece).add(chance(9) ? 1e308 : -random.nextDouble() * 9);
      }
      return model;
    }
    ObjectNode vocab = model.putObject("vocab");
    int id = 0;
    for (String piece : List.of("?", "a", "b", "ab", " ", "\u2581")) {
      vocab.put(piece, id++);
    }
    if (type.equals("BPE")) {
      model.putArray("merges").add("a b");
      model.put("continuing_subword_prefix", chance(8) ? "##" : "");
      model.put("end_of_word_suffix", chance(8) ? "y".repeat(random.nextInt(200)) : "");
      model.put("fuse_unk", chance(2)).put("byte_fallback", chance(2));
      if (chance(4)) {
        model.put("dropout", random.nextDouble());
      }
    } else {
      model.put("continuing_subword_prefix", "##");
      model.put("max_input_chars_per_word", any(List.of(100, 1000, 1_000_000)));
    }
    return model;
  }

  /**
   * @param part 0 normalizers, 1 pre-tokenizers, 2 decoders
   */
  private ObjectNode component(int part, int depth) {
    ObjectNode node = mapper.createObjectNode();
    if (depth < 10 && chance(depth < 2 ? 2 : 4)) {
      ArrayNode list =
          node.put("type", "Sequence")
              .putArray(List.of("normalizers", "pretokenizers", "decoders").get(part));
      for (int n = random.nextInt(5); n >= 0; n--) {
        list.add(component(part, depth + 1));
      }
    } else if (chance(3) || part == 1 && chance(2)) {
      pattern(node, part == 1 ? "Split" : "Replace");
    } else {
      switch (part) {
        case 0 -> normalizer(node);
        case 1 -> preTokenizer(node);
        default -> decoder(node);
      }
    }
    if (chance(25)) {
      node.remove("type");
    } else if (chance(25)) {
      node.put("type", "BertNormalizer");
    }
    return node;
  }

  private void pattern(ObjectNode node, String type) {
    node.put("type", type);
    ObjectNode pattern = node.putObject("pattern");
    if (chance(4)) {
      pattern.put("String", any(List.of("a", " ", "ab", "<", "", "x")));
    } else {
      pattern.put("Regex", regex(0));
    }
    node.put("content", any(List.of("", "x", " ", "\u2581", "aa", "a".repeat(10), "<x>")));
    node.put(
        "behavior",
        any(List.of("Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous")));
    node.put("invert", chance(4));
  }

  private String regex(int depth) {
    StringBuilder text = new StringBuilder();
    for (int branch = random.nextInt(3); branch >= 0; branch--) {
      for (int n = random.nextInt(4); n >= 0; n--) {
        if (chance(60)) {
          text.append(any(OTHERS));
        } else if (depth < 3 && chance(4)) {
          text.append(any(GROUPS)).append(regex(depth + 1)).append(')');
        } else {
          text.append(any(ATOMS));
        }
        text.append(any(QUANTIFIERS));
      }
      text.append(branch > 0 ? "|" : "");
    }
    return text.toString();
  }

  private void normalizer(ObjectNode node) {
    String type =
        any(
            List.of(
                "Strip",
                "StripAccents",
                "NFC",
                "NFKD",
                "Lowercase",
                "Nmt",
                "Prepend",
                "ByteLevel",
                "BertNormalizer",
                "Precompiled"));
    node.put("type", type);
    switch (type) {
      case "Strip" -> node.put("strip_left", chance(2)).put("strip_right", chance(2));
      case "Prepend" -> node.put("prepend", any(List.of("\u2581", "aaaa", "")));
      case "BertNormalizer" ->
          node.put("clean_text", chance(2))
              .put("handle_chinese_chars", chance(2))
              .putNull("strip_accents")
              .put("lowercase", chance(2));
      default -> {}
    }
  }

  private void preTokenizer(ObjectNode node) {
    String type =
        any(
            List.of(
                "ByteLevel",
                "Metaspace",
                "Whitespace",
                "Punctuation",
                "Digits",
                "UnicodeScripts",
                "FixedLength",
                "CharDelimiterSplit",
                "BertPreTokenizer"));
    node.put("type", type);
    switch (type) {
      case "ByteLevel" ->
          node.put("add_prefix_space", chance(2))
              .put("trim_offsets", true)
              .put("use_regex", chance(2));
      case "Metaspace" ->
          node.put("replacement", "\u2581")
              .put("prepend_scheme", any(List.of("always", "first", "never")));
      case "Punctuation" -> node.put("behavior", "Isolated");
      case "Digits" -> node.put("individual_digits", chance(2));
      case "FixedLength" -> node.put("length", random.nextInt(4));
      case "CharDelimiterSplit" -> node.put("delimiter", "a");
      default -> {}
    }
  }

  private void decoder(ObjectNode node) {
    String type =
        any(
            List.of(
                "BPEDecoder",
                "ByteLevel",
                "WordPiece",
                "Metaspace",
                "CTC",
                "Fuse",
                "Strip",
                "ByteFallback"));
    node.put("type", type);
    switch (type) {
      case "BPEDecoder" -> node.put("suffix", any(List.of("</w>", "", "a")));
      case "ByteLevel" ->
          node.put("add_prefix_space", true).put("trim_offsets", true).put("use_regex", true);
      case "WordPiece" -> node.put("prefix", any(List.of("##", ""))).put("cleanup", chance(2));
      case "Metaspace" -> node.put("replacement", "\u2581").put("prepend_scheme", "always");
      case "CTC" ->
          node.put("pad_token", any(List.of("a", "")))
              .put("word_delimiter_token", "|")
              .put("cleanup", true);
      case "Strip" -> {
        node.put("content", any(List.of("a", " ")));
        node.put("start", random.nextInt(3)).put("stop", random.nextInt(2));
      }
      default -> {}
    }
  }
}
