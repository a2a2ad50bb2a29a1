package ai.nibble;

import ai.nibble.data.SmallTokenizer;
import ai.nibble.model.TinyModel;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/** A directory with a random model of bytes, its tokenizer and ChatML's template. */
public final class TinyChat {
  private static final int VOCABULARY = SmallTokenizer.END + 1;

  private TinyChat() {}

  public static Path write(Path directory) throws IOException {
    Files.createDirectories(directory);
    TinyModel model = new TinyModel(3, false);
    model.fields.put("vocab_size", "" + VOCABULARY);
    model.fields.put("max_position_embeddings", "512");
    model.add("model.embed_tokens.weight", VOCABULARY, 12);
    model.add("lm_head.weight", VOCABULARY, 12);
    model.writeConfig(directory);
    model.writeSafetensors(directory.resolve("model.safetensors"));
    SmallTokenizer.write(directory, false);
    Files.writeString(directory.resolve("chat_template.jinja"), SmallTokenizer.CHATML);
    return directory;
  }
}
