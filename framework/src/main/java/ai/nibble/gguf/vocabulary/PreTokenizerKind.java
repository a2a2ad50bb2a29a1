package ai.nibble.gguf.vocabulary;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.stream.Collectors;

/**
 * How byte-level BPE parts a text into words before pairs are merged: llama.cpp's names of them
 * ({@code tokenizer.ggml.pre}), and what the tokenizers that llama.cpp took them from say in {@code
 * tokenizer.json}. The one table that files are read and written by.
 *
 * <p>Source: {@code llama-vocab.cpp}, whose comments quote the original expressions where its own
 * are adapted to a smaller engine; the tokenizer classes of transformers.
 */
public enum PreTokenizerKind {
  /** GPT-2's own expression, part of the library. */
  GPT_2("gpt-2 phi-2 jais trillion granite-docling roberta-bpe", Step.GPT_2),

  /** The same; text is composed first, as GPT-NeoX does. */
  NEOX("olmo mpt", true, false, Step.GPT_2),

  /** Each digit by itself, then as GPT-2. */
  DIGITS("smollm starcoder refact codeshell", Step.DIGITS, Step.GPT_2),

  /** Up to three digits together; a word that is a token stays whole whatever the merges say. */
  LLAMA_3(
      "llama-bpe llama3 llama-v3 falcon3 falcon-h1 pixtral lfm2",
      false,
      true,
      Step.split(Step.words("{1,3}"))),

  LLAMA_3_BY_MERGES("smaug-bpe dbrx glm4 chatglm-bpe", Step.split(Step.words("{1,3}"))),

  QWEN_2("qwen2", true, false, Step.split(Step.words(""))),

  /** The same words; text is not composed first. */
  QWEN_2_AS_WRITTEN("deepseek-r1-qwen", Step.split(Step.words(""))),

  /** Marks belong to the letters before them. */
  QWEN_3_5(
      "qwen35",
      true,
      false,
      Step.split(
          "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}"
              + "| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*"
              + Step.SPACE)),

  /** A word ends where a capital follows a small letter. */
  TEKKEN(
      "tekken",
      false,
      true,
      Step.split(Step.cased("") + "|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*" + Step.SPACE)),

  GPT_4O(
      "gpt-4o llama4",
      Step.split(
          Step.cased("(?i:'s|'t|'re|'ve|'m|'ll|'d)?")
              + "|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*"
              + Step.SPACE)),

  DEEPSEEK_3(
      "deepseek-v3",
      Step.splits(
          "\\p{N}{1,3}",
          "[一-龥぀-ゟ゠-ヿ]+",
          "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+"
              + "|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*"
              + Step.SPACE)),

  DEEPSEEK_CODER(
      "deepseek-coder",
      Step.splits("[\\r\\n]", "\\s?\\p{L}+", "\\s?\\p{P}+", "[一-龥ࠀ-一가-퟿]+", "\\p{N}"));

  /** A step of the library's, in the order in which they are taken. */
  private record Step(String type, String regex) {
    /** The library's own expression, then bytes as characters. */
    static final Step GPT_2 = new Step("ByteLevel", "");

    static final Step DIGITS = new Step("Digits", "");

    /** Bytes as characters alone. */
    static final Step BYTES = new Step("ByteLevel", null);

    static final String SPACE = "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

    static Step[] split(String regex) {
      return splits(regex);
    }

    static Step[] splits(String... regexes) {
      List<Step> steps =
          Arrays.stream(regexes)
              .map(regex -> new Step("Split", regex))
              .collect(Collectors.toCollection(ArrayList::new));
      steps.add(BYTES);
      return steps.toArray(Step[]::new);
    }

    /**
     * @param digits how many are taken together, as a quantifier
     */
    static String words(String digits) {
      return "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}"
          + digits
          + "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*"
          + SPACE;
    }

    /** Capitals then small letters, or capitals alone, either with what follows. */
    static String cased(String suffix) {
      String capital = "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]";
      String small = "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]";
      String before = "[^\\r\\n\\p{L}\\p{N}]?";
      return before
          + (capital + "*" + small + "+" + suffix + "|")
          + before
          + (capital + "+" + small + "*" + suffix);
    }

    ObjectNode json() {
      ObjectNode json = JsonNodeFactory.instance.objectNode().put("type", type);
      switch (type) {
        case "Split" -> {
          json.putObject("pattern").put("Regex", regex);
          json.put("behavior", "Isolated").put("invert", false);
        }
        case "Digits" -> json.put("individual_digits", true);
        default ->
            json.put("add_prefix_space", false)
                .put("trim_offsets", true)
                .put("use_regex", regex != null);
      }
      return json;
    }

    boolean is(JsonNode node) {
      if (!node.path("type").asText().equals(type)) {
        return false;
      }
      return switch (type) {
        case "Split" ->
            node.path("pattern").path("Regex").asText().equals(regex)
                && node.path("behavior").asText().equals("Isolated")
                && !node.path("invert").asBoolean(false);
        case "Digits" -> node.path("individual_digits").asBoolean(false);
        default ->
            !node.path("add_prefix_space").asBoolean(true)
                && node.path("use_regex").asBoolean(true) == (regex != null);
      };
    }
  }

  private final List<String> names;
  private final boolean composes;
  private final boolean keepsTokens;
  private final List<Step> steps;

  PreTokenizerKind(String names, Step... steps) {
    this(names, false, false, steps);
  }

  /**
   * @param names llama.cpp's, the first the one that files are written with
   */
  PreTokenizerKind(String names, boolean composes, boolean keepsTokens, Step... steps) {
    this.names = List.of(names.split(" "));
    this.composes = composes;
    this.keepsTokens = keepsTokens;
    this.steps = List.of(steps);
  }

  /** The one of that name of llama.cpp's; empty where it is not known here. */
  public static Optional<PreTokenizerKind> named(String name) {
    return Arrays.stream(values()).filter(each -> each.names.contains(name)).findFirst();
  }

  /** The one that a {@code tokenizer.json} describes; empty where it is not known here. */
  public static Optional<PreTokenizerKind> of(JsonNode preTokenizer) {
    List<JsonNode> nodes = new ArrayList<>();
    if (preTokenizer.path("type").asText().equals("Sequence")) {
      preTokenizer.path("pretokenizers").forEach(nodes::add);
    } else if (preTokenizer.isObject()) {
      nodes.add(preTokenizer);
    }
    return Arrays.stream(values()).filter(each -> each.is(nodes)).findFirst();
  }

  private boolean is(List<JsonNode> nodes) {
    boolean all = nodes.size() == steps.size();
    for (int i = 0; all && i < nodes.size(); i++) {
      all = steps.get(i).is(nodes.get(i));
    }
    return all;
  }

  /** All names that are known here. */
  static List<String> allNames() {
    return Arrays.stream(values()).flatMap(each -> each.names.stream()).sorted().toList();
  }

  /** The name that files are written with. */
  public String ggufName() {
    return names.get(0);
  }

  /** Whether letters and their marks are composed first (Unicode's form C). */
  boolean composes() {
    return composes;
  }

  /** Whether a word that is a token stays whole though no merges make it. */
  boolean keepsTokens() {
    return keepsTokens;
  }

  /** As {@code tokenizer.json} has it. */
  JsonNode json() {
    if (steps.size() == 1) {
      return steps.get(0).json();
    }
    ObjectNode sequence = JsonNodeFactory.instance.objectNode().put("type", "Sequence");
    ArrayNode list = sequence.putArray("pretokenizers");
    steps.forEach(step -> list.add(step.json()));
    return sequence;
  }
}
