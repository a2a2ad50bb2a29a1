package ai.nibble.lora;

import ai.nibble.FileProblem;
import ai.nibble.InvalidInputException;
import ai.nibble.JsonProblem;
import ai.nibble.WholeFile;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.StreamReadFeature;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * {@code adapter_config.json}, PEFT's description of a LoRA adapter.
 *
 * <p>Written are the 20 keys that every PEFT since 0.9 takes: {@code peft_type} LORA, {@code
 * task_type} CAUSAL_LM, {@code base_model_name_or_path}, {@code revision}, {@code inference_mode},
 * {@code r}, {@code lora_alpha}, {@code lora_dropout}, {@code target_modules}, {@code bias}, {@code
 * fan_in_fan_out}, {@code use_rslora}, {@code use_dora}, {@code modules_to_save}, {@code
 * init_lora_weights}, {@code layers_to_transform}, {@code layers_pattern}, {@code rank_pattern},
 * {@code alpha_pattern}, {@code auto_mapping}. PEFT up to 0.13 refuses a file with any key it does
 * not know, so there are no others, but {@code trainable_token_indices} where rows of tokens are
 * trained.
 *
 * <p>Read is what any PEFT writes: keys that Nibble does not know are named in {@link
 * AdapterConfig#ignoredKeys}, and a setting that would make the adapter compute something else than
 * plain LoRA is refused.
 */
public final class AdapterConfigFile {
  /** The file's name in an adapter directory. */
  public static final String NAME = "adapter_config.json";

  /** Largest file read: room for a list of a hundred thousand whole paths. */
  private static final int MAX_BYTES = 16 << 20;

  private static final JsonMapper JSON =
      JsonMapper.builder()
          .enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION)
          .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
          .build();

  private AdapterConfigFile() {}

  /**
   * Reads the configuration of an adapter that is to be put on a model.
   *
   * @param path the file, or the directory that holds it
   * @throws InvalidInputException with every problem of the file
   */
  public static AdapterConfig read(Path path) {
    return read(path, false);
  }

  /**
   * Reads the configuration of an adapter that is to be merged into a base, which may have {@link
   * AdapterExtras}.
   *
   * @param path the file, or the directory that holds it
   * @throws InvalidInputException with every problem of the file
   */
  public static AdapterConfig readForMerging(Path path) {
    return read(path, true);
  }

  private static AdapterConfig read(Path path, boolean takesExtras) {
    if (!Files.exists(path)) {
      throw new InvalidInputException(
          path
              + ": there is no such adapter, expected a directory with "
              + NAME
              + ", such as the output_dir of a training run: check the path");
    }
    if (path.toString().endsWith(".safetensors")) {
      throw new InvalidInputException(
          path + ": is a file of tensors, expected the directory with it and " + NAME);
    }
    Path file = Files.isDirectory(path) ? path.resolve(NAME) : path;
    return new AdapterConfigReader(file.toString(), parse(file), takesExtras).read();
  }

  private static JsonNode parse(Path file) {
    if (!Files.isRegularFile(file)) {
      throw new InvalidInputException(
          file + " is not a file, expected the configuration that PEFT saves beside an adapter");
    }
    byte[] bytes;
    try (InputStream in = Files.newInputStream(file)) {
      bytes = in.readNBytes(MAX_BYTES + 1);
    } catch (IOException e) {
      throw new InvalidInputException(file + " cannot be read: " + FileProblem.reason(e), e);
    }
    if (bytes.length > MAX_BYTES) {
      throw new InvalidInputException(
          file + " has more than " + MAX_BYTES + " bytes, expected an adapter configuration");
    }
    try {
      return JSON.readTree(bytes);
    } catch (JsonProcessingException e) {
      String where =
          e.getLocation() == null
              ? ""
              : ":" + e.getLocation().getLineNr() + ":" + e.getLocation().getColumnNr();
      throw new InvalidInputException(
          file + where + ": not JSON (" + JsonProblem.reason(e) + "): save the adapter again", e);
    } catch (IOException e) { // bytes that are no text
      throw new InvalidInputException(
          file + ": not JSON (" + JsonProblem.reason(e) + "): save the adapter again", e);
    }
  }

  /**
   * Writes the file, whole or not at all; one that is there is replaced.
   *
   * @param config targets by name or pattern, nothing excluded: see {@link TargetMatcher#resolve}
   * @throws IOException if it cannot be written
   */
  public static void write(Path directory, AdapterConfig config) throws IOException {
    WholeFile.write(directory.resolve(NAME), toJson(config));
  }

  /**
   * The file's text.
   *
   * @param config targets by name or pattern, nothing excluded: see {@link TargetMatcher#resolve}
   * @throws IllegalArgumentException if the targets are not resolved
   */
  public static String toJson(AdapterConfig config) {
    LoraConfig lora = config.lora();
    if (lora.targetModules() instanceof TargetModules.AllLinear
        || !lora.excludeModules().equals(TargetModules.NONE)) {
      throw new IllegalArgumentException(
          "target_modules is "
              + lora.targetModules()
              + " without "
              + lora.excludeModules()
              + ", expected names or a pattern that need no model to understand");
    }
    ObjectNode json = JSON.createObjectNode();
    putNumbers(json.putObject("alpha_pattern"), lora.alphaPattern().map());
    json.putNull("auto_mapping");
    json.put("base_model_name_or_path", config.baseModel().orElse(null));
    json.put("bias", "none");
    json.put("fan_in_fan_out", false);
    json.put("inference_mode", true);
    // how the matrices began is no longer of interest: true keeps PEFT from touching the base
    json.put("init_lora_weights", true);
    putList(json, "layers_pattern", lora.layersPattern());
    putList(json, "layers_to_transform", lora.layersToTransform());
    putNumber(json, "lora_alpha", lora.alpha());
    json.put("lora_dropout", lora.dropout());
    putList(json, "modules_to_save", lora.extras().modulesToSave());
    json.put("peft_type", "LORA");
    json.put("r", lora.r());
    putNumbers(json.putObject("rank_pattern"), lora.rankPattern().map());
    json.put("revision", config.revision().orElse(null));
    if (lora.targetModules() instanceof TargetModules.Regex regex) {
      json.put("target_modules", regex.pattern());
    } else if (lora.targetModules() instanceof TargetModules.Names names) {
      putList(json, "target_modules", names.names());
    }
    json.put("task_type", "CAUSAL_LM");
    putTokens(json, lora.extras().trainableTokens().byName());
    json.put("use_dora", lora.extras().useDora());
    json.put("use_rslora", lora.useRslora());
    return json.toPrettyString() + "\n";
  }

  /** Only where there are some: PEFT knows the key since 0.15. */
  private static void putTokens(ObjectNode json, Map<String, List<Integer>> tokens) {
    String key = "trainable_token_indices";
    if (tokens.keySet().equals(Set.of("embed_tokens"))) {
      putList(json, key, tokens.get("embed_tokens"));
    } else if (!tokens.isEmpty()) {
      ObjectNode byName = json.putObject(key);
      tokens.forEach((name, ids) -> putList(byName, name, ids));
    }
  }

  private static void putNumbers(ObjectNode json, Map<String, ? extends Number> values) {
    values.forEach((key, value) -> putNumber(json, key, value.doubleValue()));
  }

  /** A whole number without a fraction: PEFT declares ranks and alphas as integers. */
  private static void putNumber(ObjectNode json, String key, double value) {
    if (value == Math.rint(value) && Math.abs(value) < 1L << 53) {
      json.put(key, (long) value);
    } else {
      json.put(key, value);
    }
  }

  private static void putList(ObjectNode json, String key, Collection<?> values) {
    if (values.isEmpty()) {
      json.putNull(key);
      return;
    }
    ArrayNode array = json.putArray(key);
    values.forEach(
        value -> {
          if (value instanceof Integer number) {
            array.add(number);
          } else {
            array.add(value.toString());
          }
        });
  }
}
