package ai.nibble.model;

import ai.nibble.InvalidInputException;
import ai.nibble.JsonProblem;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/**
 * What a directory says that stands for a base with more tokens: the file {@link #NAME} in place of
 * weights, which are those of another base, with a row more for each token that it has none for.
 * Configuration and tokenizer lie beside it.
 *
 * @param base whose weights are read, absolute
 * @param newTokens ids of the tokens that the base's tokenizer does not have, ascending
 */
public record ExtendedBase(Path base, List<Integer> newTokens) {
  /** The file's name: {@code {"base": "/models/x", "new_tokens": [49152, 49153]}}. */
  public static final String NAME = "extended_base.json";

  private static final JsonMapper JSON = JsonMapper.builder().build();

  public ExtendedBase {
    newTokens = List.copyOf(newTokens);
  }

  /**
   * Reads it; empty for any other base.
   *
   * @throws InvalidInputException if it is damaged
   */
  public static Optional<ExtendedBase> read(Path directory) {
    Path file = directory.resolve(NAME);
    if (!Files.isRegularFile(file)) {
      return Optional.empty();
    }
    try {
      JsonNode json = JSON.readTree(Files.readAllBytes(file));
      List<Integer> tokens = new ArrayList<>();
      json.path("new_tokens").forEach(id -> tokens.add(id.asInt()));
      if (!json.path("base").isTextual()) {
        throw new InvalidInputException(
            file + ": no 'base', expected a path: delete the directory");
      }
      return Optional.of(new ExtendedBase(Path.of(json.get("base").asText()), tokens));
    } catch (IOException e) {
      throw new InvalidInputException(file + " cannot be read: " + JsonProblem.reason(e), e);
    }
  }

  /** The base whose weights a directory or file stands for: itself, but for such a directory. */
  public static Path weightsOf(Path base) {
    return read(base).map(ExtendedBase::base).orElse(base);
  }

  /** The file's text. */
  public String toJson() {
    ObjectNode json = JSON.createObjectNode();
    json.put("base", base.toString());
    newTokens.forEach(json.putArray("new_tokens")::add);
    return json.toPrettyString() + "\n";
  }
}
