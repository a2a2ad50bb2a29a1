package ai.nibble.model;

import ai.nibble.InvalidInputException;
import ai.nibble.JsonProblem;
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
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.Set;

/**
 * What {@code generation_config.json} says of how a model is meant to generate.
 *
 * @param eosTokenIds any of them ends a text
 * @param doSample whether tokens are drawn at random; empty where nothing is said
 * @param sampling numbers of how the next token is picked, by their keys in the file
 * @param maxNewTokens most tokens of an answer
 * @param stopStrings texts that end an answer
 * @param notFollowed settings, as {@code 'key' is value}, that would change answers elsewhere and
 *     that Nibble does not follow
 */
public record GenerationConfig(
    List<Integer> eosTokenIds,
    Optional<Boolean> doSample,
    Map<String, Double> sampling,
    OptionalInt maxNewTokens,
    List<String> stopStrings,
    List<String> notFollowed) {
  public static final String NAME = "generation_config.json";

  private static final int MAX_BYTES = 1 << 20;

  private static final List<String> SAMPLING =
      List.of(
          "temperature",
          "top_k",
          "top_p",
          "min_p",
          "typical_p",
          "repetition_penalty",
          "no_repeat_ngram_size");

  /** Keys that change what transformers generates, each with the values that change nothing. */
  private static final Map<String, Set<Double>> OTHERS =
      Map.ofEntries(
          Map.entry("num_beams", Set.of(1.0)),
          Map.entry("num_beam_groups", Set.of(1.0)),
          Map.entry("penalty_alpha", Set.of(0.0)),
          Map.entry("guidance_scale", Set.of(1.0)),
          Map.entry("encoder_repetition_penalty", Set.of(1.0)),
          Map.entry("epsilon_cutoff", Set.of(0.0)),
          Map.entry("eta_cutoff", Set.of(0.0)),
          Map.entry("top_h", Set.of()),
          Map.entry("min_length", Set.of(0.0)),
          Map.entry("min_new_tokens", Set.of(0.0)),
          Map.entry("max_time", Set.of()),
          Map.entry("bad_words_ids", Set.of()),
          Map.entry("sequence_bias", Set.of()),
          Map.entry("suppress_tokens", Set.of()),
          Map.entry("begin_suppress_tokens", Set.of()),
          Map.entry("forced_bos_token_id", Set.of()),
          Map.entry("forced_eos_token_id", Set.of()),
          Map.entry("exponential_decay_length_penalty", Set.of()),
          Map.entry("watermarking_config", Set.of()));

  public GenerationConfig {
    eosTokenIds = List.copyOf(eosTokenIds);
    sampling = Map.copyOf(sampling);
    stopStrings = List.copyOf(stopStrings);
    notFollowed = List.copyOf(notFollowed);
  }

  /**
   * Reads the file beside a model; where it is absent or names no {@code eos_token_id}, the model's
   * own configuration counts, as in transformers. Ranges of numbers are checked where they are
   * used.
   *
   * @throws InvalidInputException if the file is not JSON, a value is of the wrong type, or an id
   *     is none of the model's
   */
  public static GenerationConfig read(Path directory, ModelConfig config) {
    Path file = directory.resolve(NAME);
    if (!Files.exists(file)) {
      return new GenerationConfig(
          config.eosTokenIds(),
          Optional.empty(),
          Map.of(),
          OptionalInt.empty(),
          List.of(),
          List.of());
    }
    List<String> problems = new ArrayList<>();
    ObjectNode object = parse(file);
    GenerationConfig read = read(object, new ConfigFields(object, "", problems), config, problems);
    if (!problems.isEmpty()) {
      throw new InvalidInputException(problems.stream().map(p -> file + ": " + p).toList());
    }
    return read;
  }

  private static GenerationConfig read(
      ObjectNode object, ConfigFields fields, ModelConfig config, List<String> problems) {
    List<Integer> ids = fields.tokenIds("eos_token_id", config.eosTokenIds());
    for (int id : ids) {
      if (id < 0 || id >= config.vocabSize()) {
        problems.add(
            "'eos_token_id' is " + id + ", expected an id from 0 to " + (config.vocabSize() - 1));
      }
    }
    Map<String, Double> sampling = new LinkedHashMap<>();
    for (String key : SAMPLING) {
      if (fields.hasValue(key)) {
        sampling.put(key, fields.number(key, 0));
      }
    }
    OptionalInt maxNewTokens = fields.integerOrNull("max_new_tokens");
    if (maxNewTokens.isPresent() && maxNewTokens.getAsInt() < 1) {
      fields.wrong("max_new_tokens", "an integer of at least 1");
    }
    return new GenerationConfig(
        ids.isEmpty() ? config.eosTokenIds() : ids,
        fields.hasValue("do_sample")
            ? Optional.of(fields.flag("do_sample", false))
            : Optional.empty(),
        sampling,
        maxNewTokens,
        stopStrings(object, fields),
        notFollowed(object, fields));
  }

  /** One string, or a list of them. */
  private static List<String> stopStrings(ObjectNode object, ConfigFields fields) {
    JsonNode node = object.path("stop_strings");
    return node.isTextual()
        ? List.of(node.textValue())
        : fields.strings("stop_strings").stream().filter(text -> !text.isEmpty()).toList();
  }

  private static List<String> notFollowed(ObjectNode object, ConfigFields fields) {
    List<String> found = new ArrayList<>();
    for (String key : OTHERS.keySet().stream().sorted().toList()) {
      JsonNode node = object.path(key);
      boolean neutral =
          node.isMissingNode()
              || node.isNull()
              || node.isContainerNode() && node.isEmpty()
              || node.isNumber() && OTHERS.get(key).contains(node.doubleValue());
      if (!neutral) {
        found.add(fields.quoted(key) + " is " + fields.shown(key));
      }
    }
    return found;
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
          file
              + ": "
              + JsonProblem.place(e)
              + "not valid JSON: "
              + JsonProblem.reason(e)
              + "; fetch the model's file again",
          e);
    } catch (IOException e) {
      throw new InvalidInputException(file + " cannot be read: " + JsonProblem.reason(e), e);
    }
  }
}
