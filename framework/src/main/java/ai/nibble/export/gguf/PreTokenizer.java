package ai.nibble.export.gguf;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Set;

/**
 * How text is parted into words before pairs are merged, under llama.cpp's name {@code
 * tokenizer.ggml.pre}: recognised by what {@code tokenizer.json} says, so a vocabulary of one's own
 * is as good as a published one.
 *
 * <p>Source: {@code llama-vocab.cpp}, which has the same regular expressions under these names.
 */
final class PreTokenizer {
  private static final String WORDS_AND_NUMBERS =
      "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}%s"
          + "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

  /** Llama 3's takes three digits together, Qwen 2's each alone. */
  private static final String LLAMA_3 = WORDS_AND_NUMBERS.formatted("{1,3}");

  private static final String QWEN_2 = WORDS_AND_NUMBERS.formatted("");

  /** Names of llama.cpp's for byte-level BPE, of the models that are most in use. */
  private static final Set<String> KNOWN =
      Set.of(
          ("default llama3 llama-v3 llama-bpe llama4 falcon3 falcon pixtral deepseek-llm"
                  + " deepseek-coder deepseek-v3 deepseek-r1-qwen mpt starcoder gpt-2 phi-2 gpt-4o"
                  + " modern-bert roberta-bpe refact command-r qwen2 qwen35 stablelm2 olmo dbrx"
                  + " smaug-bpe poro-chat glm4 chatglm-bpe viking jais tekken smollm codeshell bloom"
                  + " gpt3-finnish exaone exaone4 chameleon minerva-7b megrez superbpe trillion"
                  + " bailingmoe seed-coder hunyuan hunyuan-dense kimi-k2 grok-2 gemma4")
              .split(" "));

  private PreTokenizer() {}

  /** What is to be said of a name that was given; nothing where llama.cpp is known to have it. */
  static Optional<String> doubt(String name) {
    return KNOWN.contains(name)
        ? Optional.empty()
        : Optional.of(
            "--pre '"
                + name
                + "' is not known here as a name of llama.cpp's, such as gpt-2 or llama-bpe: a"
                + " llama.cpp without it refuses the file");
  }

  /** The name; empty where llama.cpp has none for it, or none that is known here. */
  static Optional<String> name(JsonNode preTokenizer) {
    List<JsonNode> steps = steps(preTokenizer);
    int last = steps.size() - 1;
    if (steps.isEmpty() || !isByteLevel(steps.get(last))) {
      return Optional.empty();
    }
    boolean gpt2 = steps.get(last).path("use_regex").asBoolean(true);
    if (steps.size() == 1) {
      return gpt2 ? Optional.of("gpt-2") : Optional.empty();
    }
    JsonNode first = steps.get(0);
    if (steps.size() > 2) {
      return Optional.empty();
    }
    if (gpt2) {
      boolean digits =
          type(first).equals("Digits") && first.path("individual_digits").asBoolean(false);
      return digits ? Optional.of("smollm") : Optional.empty();
    }
    return isIsolatingSplit(first)
        ? ofRegex(first.path("pattern").path("Regex").asText())
        : Optional.empty();
  }

  private static Optional<String> ofRegex(String regex) {
    if (regex.equals(LLAMA_3)) {
      return Optional.of("llama-bpe");
    }
    return regex.equals(QWEN_2) ? Optional.of("qwen2") : Optional.empty();
  }

  private static List<JsonNode> steps(JsonNode preTokenizer) {
    if (!type(preTokenizer).equals("Sequence")) {
      return preTokenizer.isObject() ? List.of(preTokenizer) : List.of();
    }
    List<JsonNode> steps = new ArrayList<>();
    preTokenizer.path("pretokenizers").forEach(steps::add);
    return steps;
  }

  private static boolean isByteLevel(JsonNode step) {
    return type(step).equals("ByteLevel") && !step.path("add_prefix_space").asBoolean(true);
  }

  private static boolean isIsolatingSplit(JsonNode step) {
    return type(step).equals("Split")
        && step.path("behavior").asText().equals("Isolated")
        && !step.path("invert").asBoolean(false);
  }

  private static String type(JsonNode step) {
    return step.path("type").asText();
  }
}
