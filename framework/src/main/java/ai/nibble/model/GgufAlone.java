package ai.nibble.model;

import ai.nibble.FileProblem;
import ai.nibble.InvalidInputException;
import ai.nibble.Sha256;
import ai.nibble.UserCache;
import ai.nibble.WholeFile;
import ai.nibble.gguf.GgufFile;
import ai.nibble.gguf.GgufTensor;
import ai.nibble.gguf.vocabulary.TokenizerJson;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.Optional;

/**
 * A GGUF file without Hugging Face files beside it. Its metadata says all that they would; it is
 * written in their words to a directory of the user's cache, once for each file, and from there on
 * the base is like any other: {@code config.json}, {@code generation_config.json}, {@code
 * tokenizer.json}, {@code tokenizer_config.json} and, where the file has one, {@code
 * chat_template.jinja}.
 */
final class GgufAlone {
  /** Changes when the same file would be written otherwise. */
  private static final String FORM = "2";

  private static final String KIND = "gguf";
  private static final String TOKENIZER = "tokenizer.ggml.model";
  private static final int PIECE = 1 << 20;

  private static final JsonMapper JSON = JsonMapper.builder().build();

  private GgufAlone() {}

  /**
   * The directory; made where it is not there yet.
   *
   * @throws InvalidInputException if the file is damaged, its architecture or its tokenizer is not
   *     supported, or the cache cannot be written
   */
  static Path directory(Path gguf) {
    try (GgufFile file = GgufFile.open(gguf)) {
      if (!file.metadata().contains(TOKENIZER)) {
        throw new InvalidInputException(
            gguf
                + ": has no tokenizer in itself (no metadata '"
                + TOKENIZER
                + "') and no config.json beside it: put the original model's config.json and"
                + " tokenizer.json there");
      }
      Path directory = UserCache.directory(KIND).resolve(name(file));
      if (!Files.exists(directory)) {
        write(file, directory);
      }
      return directory;
    }
  }

  /**
   * By all that precedes the data and by the tensors that the configuration is made of, so that a
   * file that is moved is known again.
   */
  private static String name(GgufFile file) {
    long end = file.tensors().values().stream().mapToLong(GgufTensor::position).min().orElse(0);
    MessageDigest sum = Sha256.start();
    try (FileChannel channel = FileChannel.open(file.path())) {
      for (long at = 0; at < end; at += PIECE) {
        Sha256.update(sum, channel, at, Math.min(at + PIECE, end));
      }
    } catch (IOException e) {
      throw new InvalidInputException(file.path() + " cannot be read: " + FileProblem.reason(e), e);
    }
    file.names().stream()
        .filter(GgufHyperparameters::isRopeTensor)
        .forEach(tensor -> sum.update(bytes(file, tensor)));
    return Sha256.hex(sum).substring(0, 32) + "-" + FORM;
  }

  private static byte[] bytes(GgufFile file, String tensor) {
    float[] values = new GgufFields(file).values(tensor, ModelConfig.MAX_HEAD_DIM);
    ByteBuffer bytes = ByteBuffer.allocate(values.length * Float.BYTES);
    bytes.asFloatBuffer().put(values);
    return bytes.array();
  }

  private static void write(GgufFile file, Path directory) {
    GgufConfigJson config = new GgufConfigJson(file);
    ObjectNode json = config.config();
    TokenizerJson tokenizer =
        TokenizerJson.read(file.metadata(), file.metadata().getString("general.architecture"));
    UserCache.make(directory, path -> write(path, json, config, tokenizer));
  }

  private static void write(
      Path path, ObjectNode json, GgufConfigJson config, TokenizerJson tokenizer)
      throws IOException {
    write(path.resolve(ModelStore.CONFIG), json);
    write(path.resolve(GenerationConfig.NAME), config.generation());
    WholeFile.write(path.resolve("tokenizer.json"), JSON.writeValueAsBytes(tokenizer.tokenizer()));
    write(path.resolve("tokenizer_config.json"), tokenizer.config(config.contextLength()));
    write(path.resolve(ModelStore.CHAT_TEMPLATE), tokenizer.chatTemplate());
    if (tokenizer.toolTemplate().isPresent()) {
      Path named = Files.createDirectory(path.resolve("additional_chat_templates"));
      write(named.resolve("tool_use.jinja"), tokenizer.toolTemplate());
    }
  }

  private static void write(Path target, ObjectNode json) throws IOException {
    WholeFile.write(target, json.toPrettyString() + "\n");
  }

  private static void write(Path target, Optional<String> text) throws IOException {
    if (text.isPresent()) {
      WholeFile.write(target, text.get());
    }
  }
}
