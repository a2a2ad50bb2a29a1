package ai.nibble.model;

import ai.nibble.InvalidInputException;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/**
 * What {@code generation_config.json} says of how a model is meant to generate.
 *
 * @param eosTokenIds any of them ends a text
 */
public record GenerationConfig(List<Integer> eosTokenIds) {
  private static final String NAME = "generation_config.json";
  private static final int MAX_BYTES = 1 << 20;

  public GenerationConfig {
    eosTokenIds = List.copyOf(eosTokenIds);
  }

  /**
   * Reads the file beside a model; where it is absent or names no {@code eos_token_id}, the model's
   * own configuration counts, as in transformers.
   *
   * @throws InvalidInputException if the file is not JSON, or an id is none of the model's
   */
  public static GenerationConfig read(Path directory, ModelConfig config) {
    Path file = directory.resolve(NAME);
    if (!Files.exists(file)) {
      return new GenerationConfig(config.eosTokenIds());
    }
    List<String> problems = new ArrayList<>();
    ConfigFields fields = new ConfigFields(parse(file), "", problems);
    List<Integer> ids = fields.tokenIds("eos_token_id", config.eosTokenIds());
    for (int id : ids) {
      if (id < 0 || id >= config.vocabSize()) {
        problems.add(
            "'eos_token_id' is " + id + ", expected an id from 0 to " + (config.vocabSize() - 1));
      }
    }
    if (!problems.isEmpty()) {
      throw new InvalidInputException(problems.stream().map(p -> file + ": " + p).toList());
    }
    return new GenerationConfig(ids.isEmpty() ? config.eosTokenIds() : ids);
  }

  private static ObjectNode parse(Path file) {
    JsonMapper strict =
        JsonMapper.builder()
            .enable(JsonParser.Feature.STRICT_DUPLICATE_DETECTION)
            .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
            .build();
    try (InputStream in = Files.newInputStream(file)) {
      byte[] bytes = in.readNBytes(MAX_BYTES + 1);
      JsonNode root = bytes.length > MAX_BYTES ? null : strict.readTree(bytes);
      if (root instanceof ObjectNode object) {
        return object;
      }
      throw new InvalidInputException(
          file + ": expected a JSON object of at most 1 MiB; fetch the model's file again");
    } catch (JsonProcessingException e) {
      throw new InvalidInputException(
          file + ": not valid JSON: " + e.getOriginalMessage() + "; fetch the model's file again",
          e);
    } catch (IOException e) {
      throw new InvalidInputException(file + " cannot be read: " + e, e);
    }
  }
}
