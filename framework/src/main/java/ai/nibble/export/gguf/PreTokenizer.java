package ai.nibble.export.gguf;

import ai.nibble.gguf.vocabulary.PreTokenizerKind;
import com.fasterxml.jackson.databind.JsonNode;
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
    return PreTokenizerKind.of(preTokenizer).map(PreTokenizerKind::ggufName);
  }
}
