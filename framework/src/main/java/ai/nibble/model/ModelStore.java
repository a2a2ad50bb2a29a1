package ai.nibble.model;

import ai.nibble.InvalidInputException;
import ai.nibble.WholeFile;
import ai.nibble.nn.Parameter;
import ai.nibble.nn.ParameterSet;
import ai.nibble.quant.stored.QuantizationConfig;
import ai.nibble.safetensors.SafetensorsWriter;
import ai.nibble.safetensors.TensorSpec;
import ai.nibble.tensor.Bfloat16;
import ai.nibble.tensor.DType;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.cfg.JsonNodeFeature;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;

/**
 * Writes a trained model as the directory that transformers reads: {@code model.safetensors}, the
 * base's tokenizer files and {@code generation_config.json} byte for byte ({@link BaseFiles}), and
 * {@code config.json} last. Each file appears whole or not at all.
 *
 * <p>Weights are written in the dtype that the base's {@code config.json} names: float32 as they
 * are, anything shorter rounded to bfloat16. A tied head is the embedding and not written again.
 * {@code config.json} is the base's; {@code dtype} (or its older name {@code torch_dtype}, where
 * the base has that or neither) and {@code tie_word_embeddings} are set to what was written.
 */
public final class ModelStore {
  public static final String WEIGHTS = "model.safetensors";
  public static final String CONFIG = "config.json";

  public static final String CHAT_TEMPLATE = "chat_template.jinja";

  /** Files beside the weights that are copied where the base has them. */
  public static final List<String> COPIED =
      List.of(
          "generation_config.json",
          "tokenizer.json",
          "tokenizer_config.json",
          "special_tokens_map.json",
          "added_tokens.json",
          "tokenizer.model",
          "vocab.json",
          "merges.txt",
          CHAT_TEMPLATE,
          "chat_template.json");

  private static final int PIECE = 1 << 16;

  /** Numbers keep the digits they were written with. */
  private static final JsonMapper JSON =
      JsonMapper.builder()
          .enable(DeserializationFeature.USE_BIG_DECIMAL_FOR_FLOATS)
          .disable(JsonNodeFeature.STRIP_TRAILING_BIGDECIMAL_ZEROES)
          .build();

  private ModelStore() {}

  /**
   * Writes the model.
   *
   * @param model loaded with {@link LoadOptions#trained}
   * @param base the directory or GGUF file it was loaded from
   * @param directory as below
   * @throws InvalidInputException as below, or if the base's files cannot be read
   */
  public static void save(CausalLm model, Path base, Path directory) throws IOException {
    save(model, BaseFiles.read(base), directory);
  }

  /**
   * Writes the model.
   *
   * @param model loaded with {@link LoadOptions#trained}
   * @param base what goes beside the weights
   * @param directory made if missing; files of these names there are replaced
   * @throws InvalidInputException if a weight is not finite; nothing was written then
   */
  public static void save(CausalLm model, BaseFiles base, Path directory) throws IOException {
    ParameterSet parameters =
        model
            .parameters()
            .orElseThrow(() -> new IllegalArgumentException("the model's weights are frozen"));
    requireFinite(parameters, directory);
    DType dtype = savedDtype(model.config());
    Files.createDirectories(directory);
    writeWeights(parameters, dtype, directory.resolve(WEIGHTS));
    saveFiles(base, model.config(), dtype, directory);
  }

  /**
   * Writes all but the weights: the base's files as they are, then {@code config.json}.
   *
   * @param config of the model whose weights are in the directory
   * @param dtype that they were written in
   */
  public static void saveFiles(BaseFiles base, ModelConfig config, DType dtype, Path directory)
      throws IOException {
    saveFiles(base, config, dtype, directory, null);
  }

  /**
   * As {@link #saveFiles(BaseFiles, ModelConfig, DType, Path)}, of weights that are quantised.
   *
   * @param quantization {@code quantization_config}; null where they are plain
   */
  public static void saveFiles(
      BaseFiles base, ModelConfig config, DType dtype, Path directory, ObjectNode quantization)
      throws IOException {
    byte[] json = configJson(base.config(), config, dtype, quantization);
    for (Map.Entry<String, byte[]> file : base.copied().entrySet()) {
      WholeFile.write(directory.resolve(file.getKey()), file.getValue());
    }
    WholeFile.write(directory.resolve(CONFIG), json);
  }

  /** The dtype that a trained model's weights are written in. */
  public static DType savedDtype(ModelConfig config) {
    return config.dtype().bytes() < Float.BYTES ? DType.BFLOAT16 : DType.FLOAT32;
  }

  private static void requireFinite(ParameterSet parameters, Path directory) {
    for (Parameter p : parameters.parameters()) {
      FloatBuffer values = p.hostValues();
      for (int i = 0; i < values.limit(); i++) {
        if (!Float.isFinite(values.get(i))) {
          throw new InvalidInputException(
              directory + ": not saved, '" + p.name() + "' holds " + values.get(i));
        }
      }
    }
  }

  private static void writeWeights(ParameterSet parameters, DType dtype, Path file) {
    List<TensorSpec> specs =
        parameters.parameters().stream()
            .map(p -> TensorSpec.of(p.name(), dtype, p.value().shape()))
            .toList();
    ByteBuffer piece = ByteBuffer.allocate(PIECE * dtype.bytes()).order(ByteOrder.LITTLE_ENDIAN);
    try (SafetensorsWriter writer = SafetensorsWriter.create(file, specs)) {
      for (Parameter p : parameters.parameters()) {
        FloatBuffer values = p.hostValues();
        while (values.hasRemaining()) {
          fill(piece.clear(), values, dtype);
          writer.write(p.name(), piece.flip());
        }
      }
      writer.commit();
    }
  }

  private static void fill(ByteBuffer piece, FloatBuffer values, DType dtype) {
    for (int i = Math.min(PIECE, values.remaining()); i > 0; i--) {
      if (dtype == DType.BFLOAT16) {
        piece.putShort(Bfloat16.of(values.get()));
      } else {
        piece.putFloat(values.get());
      }
    }
  }

  /** The base's configuration; unchanged, byte for byte, where it says already what was written. */
  private static byte[] configJson(
      byte[] original, ModelConfig config, DType dtype, ObjectNode quantization)
      throws IOException {
    ObjectNode before = (ObjectNode) JSON.readTree(original);
    ObjectNode json = TextConfig.of(before).orElseGet(before::deepCopy);
    json.remove(QuantizationConfig.KEY); // what the base was is no matter
    if (quantization != null) {
      json.set(QuantizationConfig.KEY, quantization);
    }
    if (json.has("dtype")) {
      json.put("dtype", dtype.torchName());
    }
    if (json.has("torch_dtype") || !json.has("dtype")) {
      // the one name that every version of transformers reads
      json.put("torch_dtype", dtype.torchName());
    }
    if (json.path("tie_word_embeddings").asBoolean(false) != config.tieWordEmbeddings()) {
      json.put("tie_word_embeddings", config.tieWordEmbeddings());
    }
    if (json.equals(before)) {
      return original;
    }
    return (json.toPrettyString() + "\n").getBytes(StandardCharsets.UTF_8);
  }
}
