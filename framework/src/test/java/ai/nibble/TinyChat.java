package ai.nibble;

import ai.nibble.data.SmallTokenizer;
import ai.nibble.model.TinyModel;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;

/** A directory with a random model of bytes, its tokenizer and ChatML's template. */
public final class TinyChat {
  private static final int VOCABULARY = SmallTokenizer.END + 1;
  private static final int HIDDEN = 12;
  private static final String EMBEDDING = "model.embed_tokens.weight";
  private static final String HEAD = "lm_head.weight";

  private TinyChat() {}

  public static Path write(Path directory) throws IOException {
    TinyModel model = model();
    model.add(EMBEDDING, VOCABULARY, HIDDEN);
    model.add(HEAD, VOCABULARY, HIDDEN);
    return write(model, directory);
  }

  /** One of an architecture: see {@link TinyModel#of}. */
  public static Path of(String modelType, Map<String, String> fields, Path directory)
      throws IOException {
    return of(modelType, fields, directory, VOCABULARY);
  }

  /**
   * The same with rows to spare.
   *
   * @param rows of embedding and head
   */
  public static Path of(String modelType, Map<String, String> fields, Path directory, int rows)
      throws IOException {
    TinyModel model = TinyModel.of(modelType, 3);
    model.fields.put("vocab_size", "" + rows);
    model.fields.put("max_position_embeddings", "512");
    model.fields.putAll(fields);
    model.add(EMBEDDING, rows, HIDDEN);
    model.add(HEAD, rows, HIDDEN);
    if (model.fields.get("tie_word_embeddings").equals("true")) {
      model.remove(HEAD);
    }
    return write(model, directory);
  }

  /**
   * One that writes a text over and over, behind a prompt that ends in the text's last character:
   * its layers add nothing, and the head answers each character by the next.
   *
   * @param text of up to 12 characters, none twice
   */
  public static Path writing(String text, Path directory) throws IOException {
    TinyModel model = model();
    float[] embedding = new float[VOCABULARY * HIDDEN];
    float[] head = new float[VOCABULARY * HIDDEN];
    for (int i = 0; i < text.length(); i++) {
      embedding[text.charAt(i) * HIDDEN + i] = 1;
      head[text.charAt((i + 1) % text.length()) * HIDDEN + i] = 1;
    }
    model.put(EMBEDDING, embedding, VOCABULARY, HIDDEN);
    model.put(HEAD, head, VOCABULARY, HIDDEN);
    float[] ones = new float[HIDDEN];
    Arrays.fill(ones, 1);
    model.put("model.norm.weight", ones, HIDDEN);
    for (int layer = 0; layer < 2; layer++) {
      String at = "model.layers." + layer + ".";
      model.put(at + "self_attn.o_proj.weight", new float[HIDDEN * 24], HIDDEN, 24);
      model.put(at + "mlp.down_proj.weight", new float[HIDDEN * 20], HIDDEN, 20);
    }
    return write(model, directory);
  }

  /**
   * The same weights as {@link #write} as a GGUF file, in float32 and without a vocabulary, beside
   * all that {@link #write} writes but the weights.
   *
   * @param metadata other values, or more of them
   */
  public static Path gguf(Path directory, Map<String, Object> metadata) throws IOException {
    boolean weights = Files.exists(directory.resolve("model.safetensors"));
    write(directory);
    if (!weights) {
      Files.delete(directory.resolve("model.safetensors"));
    }
    TinyModel model = model();
    model.add(EMBEDDING, VOCABULARY, HIDDEN);
    model.add(HEAD, VOCABULARY, HIDDEN);
    Map<String, Object> all = new LinkedHashMap<>(model.ggufMetadata());
    all.put("llama.vocab_size", VOCABULARY);
    all.put("llama.context_length", 512);
    all.putAll(metadata);
    Path file = directory.resolve("model.gguf");
    model.writeGguf(file, all);
    return file;
  }

  private static TinyModel model() {
    TinyModel model = new TinyModel(3, false);
    model.fields.put("vocab_size", "" + VOCABULARY);
    model.fields.put("max_position_embeddings", "512");
    return model;
  }

  private static Path write(TinyModel model, Path directory) throws IOException {
    Files.createDirectories(directory);
    model.writeTo(directory);
    SmallTokenizer.write(directory, false);
    Files.writeString(directory.resolve("chat_template.jinja"), SmallTokenizer.CHATML);
    return directory;
  }
}
