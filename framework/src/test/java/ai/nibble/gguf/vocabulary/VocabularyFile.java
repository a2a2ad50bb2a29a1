package ai.nibble.gguf.vocabulary;

import ai.nibble.gguf.GgufHeader;
import ai.nibble.gguf.GgufWriter;
import java.nio.file.Path;
import java.util.List;

/** GGUF files that hold a tokenizer and nothing else. */
final class VocabularyFile {
  private VocabularyFile() {}

  /** Byte-level BPE with a few tokens: {@code a b ab} and a control token. */
  static GgufHeader byteLevel(String pre) {
    return new GgufHeader()
        .put("general.architecture", "llama")
        .put("tokenizer.ggml.model", "gpt2")
        .put("tokenizer.ggml.pre", pre)
        .putStrings("tokenizer.ggml.tokens", List.of("<|end|>", "a", "b", "ab", "[PAD4]", "<tool>"))
        .putInts("tokenizer.ggml.token_type", new int[] {3, 1, 1, 1, 5, 4})
        .putStrings("tokenizer.ggml.merges", List.of("a b"))
        .put("tokenizer.ggml.eos_token_id", 0);
  }

  static Path write(Path file, GgufHeader header) {
    try (GgufWriter writer = GgufWriter.create(file, header, List.of())) {
      writer.commit();
    }
    return file;
  }
}
