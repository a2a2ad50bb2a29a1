package ai.nibble.data;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;

/** A byte-level tokenizer without merges, made by the tests: one token a byte, and ChatML's. */
public final class SmallTokenizer {
  static final int BOS = 256;
  static final int START = 257;
  public static final int END = 258;

  public static final String CHATML =
      "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
          + "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

  private SmallTokenizer() {}

  /** Writes {@code tokenizer.json} and its configuration. */
  public static void write(Path directory, boolean withBos) {
    StringBuilder vocab = new StringBuilder();
    int next = 0;
    for (int b = 0; b < 256; b++) {
      // GPT-2's printable stand-ins for bytes.
      boolean printable = (b > 32 && b < 127) || (b > 160 && b != 173);
      int c = printable ? b : 256 + next++;
      String text = c == '"' ? "\\\"" : c == '\\' ? "\\\\" : Character.toString(c);
      vocab.append(b == 0 ? "" : ",").append('"').append(text).append("\":").append(b);
    }
    String processor =
        withBos
            ? "{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"<s>\","
                + "\"type_id\":0}},{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}],\"pair\":[],"
                + "\"special_tokens\":{\"<s>\":{\"id\":\"<s>\",\"ids\":[256],\"tokens\":[\"<s>\"]}}}"
            : "null";
    String byteLevel =
        "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":true,\"use_regex\":false}";
    String json =
        "{\"version\":\"1.0\",\"truncation\":null,\"padding\":null,\"added_tokens\":["
            + added(BOS, "<s>")
            + ","
            + added(START, "<|im_start|>")
            + ","
            + added(END, "<|im_end|>")
            + "],\"normalizer\":null,\"pre_tokenizer\":"
            + byteLevel
            + ",\"post_processor\":"
            + processor
            + ",\"decoder\":"
            + byteLevel
            + ",\"model\":{\"type\":\"BPE\",\"dropout\":null,\"unk_token\":null,"
            + "\"continuing_subword_prefix\":null,\"end_of_word_suffix\":null,\"fuse_unk\":false,"
            + "\"byte_fallback\":false,\"vocab\":{"
            + vocab
            + "},\"merges\":[]}}";
    try {
      Files.writeString(directory.resolve("tokenizer.json"), json);
      Files.writeString(
          directory.resolve("tokenizer_config.json"),
          "{\"bos_token\":\"<s>\",\"eos_token\":\"<|im_end|>\",\"pad_token\":\"<|im_end|>\"}");
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private static String added(int id, String content) {
    return "{\"id\":"
        + id
        + ",\"content\":\""
        + content
        + "\",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,\"normalized\":false,"
        + "\"special\":true}";
  }
}
