package ai.nibble.quant.stored;

import ai.nibble.InvalidInputException;
import ai.nibble.JsonProblem;
import ai.nibble.quant.Quant4Type;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.MissingNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;

/**
 * What a model's files say about its quantisation: {@code quantization_config} of config.json. Each
 * kind is one of the methods that can be read.
 */
public sealed interface QuantizationConfig {
  /** The key in config.json. */
  String KEY = "quantization_config";

  /** Where AutoGPTQ wrote it before config.json had it, and what it writes there. */
  String GPTQ_FILE = "quantize_config.json";

  /** Modules that are not quantised: names, or runs of names in a module's path. */
  List<String> skipModules();

  /**
   * bitsandbytes. What a single weight is held in, its own tensors say.
   *
   * @param in8bit LLM.int8() rather than 4 bits
   * @param type the 4-bit code; empty where it is not named, or does not matter
   * @param threshold magnitude from which an activation is an outlier, in 8 bits
   */
  record BitsAndBytes(
      boolean in8bit, Optional<Quant4Type> type, double threshold, List<String> skipModules)
      implements QuantizationConfig {
    public BitsAndBytes {
      skipModules = List.copyOf(skipModules);
    }
  }

  /**
   * GPTQ.
   *
   * @param bits of a code: 2, 3, 4 or 8
   * @param groupSize columns that share a scale; −1: all of a row
   * @param descAct whether columns are in groups by g_idx, in any order
   * @param symmetric whether all zeros are half of the codes
   * @param second whether zeros are stored as they are ({@code gptq_v2}), or one less ({@code
   *     gptq}); empty where the file does not say
   */
  record Gptq(
      int bits,
      int groupSize,
      boolean descAct,
      boolean symmetric,
      Optional<Boolean> second,
      List<String> skipModules)
      implements QuantizationConfig {
    public Gptq {
      skipModules = List.copyOf(skipModules);
    }
  }

  /**
   * AWQ, in 4 bits with zeros, in the layout of its GEMM kernel.
   *
   * @param groupSize columns that share a scale; −1: all of a row
   */
  record Awq(int groupSize, List<String> skipModules) implements QuantizationConfig {
    public Awq {
      skipModules = List.copyOf(skipModules);
    }
  }

  /**
   * Reads what stands beside the weights.
   *
   * @param directory of a model
   * @return empty where nothing is said of quantisation
   * @throws InvalidInputException with a line for each field that cannot be followed
   */
  static Optional<QuantizationConfig> read(Path directory) {
    Path file = directory.resolve("config.json");
    JsonNode node = json(file).path(KEY);
    if (!(node instanceof ObjectNode) && Files.isRegularFile(directory.resolve(GPTQ_FILE))) {
      file = directory.resolve(GPTQ_FILE);
      node = json(file);
    }
    if (!(node instanceof ObjectNode object)) {
      return Optional.empty();
    }
    Path place = file;
    try {
      return Optional.of(of(object));
    } catch (InvalidInputException e) {
      throw new InvalidInputException(e.problems().stream().map(p -> place + ": " + p).toList());
    }
  }

  /**
   * Reads the object of {@link #KEY}.
   *
   * @throws InvalidInputException with a line for each field that cannot be followed
   */
  static QuantizationConfig of(ObjectNode object) {
    return new QuantizationConfigReader("'" + KEY + ".", object).read();
  }

  private static JsonNode json(Path file) {
    if (!Files.isRegularFile(file)) {
      return MissingNode.getInstance(); // whoever needs it says so
    }
    try {
      return JsonMapper.builder().build().readTree(Files.readAllBytes(file));
    } catch (IOException e) {
      throw new InvalidInputException(file + ": cannot be read: " + JsonProblem.reason(e), e);
    }
  }
}
