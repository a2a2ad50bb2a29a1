package ai.nibble.recipe;

import ai.nibble.InvalidInputException;
import ai.nibble.hub.HubId;
import ai.nibble.hub.HubModels;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.Optional;
import java.util.function.Supplier;

/**
 * A base that is named by its id on the Hugging Face hub: {@code base_model} becomes the snapshot
 * in the cache, whose path holds the commit, so that the resolved recipe says what was trained on.
 * What is in the cache is used as it is; what is not is fetched once the recipe has no other
 * problem.
 */
final class HubBase {
  private static final String KEY = "base_model";
  private static final String REVISION = "revision";

  private HubBase() {}

  /**
   * @param fields what was written
   * @param values the keys that could be read; a base that cannot be had is taken out, a problem
   *     said
   * @param hub asked for only where an id is named
   */
  static void resolve(
      Node.Fields fields, Map<String, Object> values, Reading at, Supplier<HubModels> hub) {
    Optional<String> revision =
        values.get(REVISION) instanceof Optional<?> named
            ? named.map(String.class::cast)
            : Optional.empty();
    if (!(values.get(KEY) instanceof Path path)
        || !(fields.fields().get(KEY).value() instanceof Node.Scalar scalar)) {
      return;
    }
    try {
      Optional<HubId> id = Files.exists(path) ? Optional.empty() : HubId.parse(scalar.text());
      if (id.isPresent()) {
        values.remove(KEY);
        locate(at(id.get(), revision), hub.get(), at).ifPresent(base -> values.put(KEY, base));
      } else if (revision.isPresent() && HubModels.idOf(path.toString()).isEmpty()) {
        problem(REVISION, "has no effect on base_model, which is a path: remove it", at);
      }
    } catch (InvalidInputException e) {
      problem(KEY, "nothing at '" + path + "', and on the hub: " + e.getMessage(), at);
    }
  }

  private static HubId at(HubId id, Optional<String> revision) {
    if (revision.isPresent() && id.revision().isPresent() && !id.revision().equals(revision)) {
      throw new InvalidInputException(
          "'"
              + id
              + "' names another revision than 'revision', which is '"
              + revision.get()
              + "': name it once");
    }
    return revision.map(id::at).orElse(id);
  }

  private static Optional<Path> locate(HubId id, HubModels hub, Reading at) {
    Optional<Path> cached = hub.cached(id);
    return cached.isPresent() || !at.problems().isEmpty() ? cached : Optional.of(hub.fetch(id));
  }

  private static void problem(String key, String what, Reading at) {
    Position position = at.positions().getOrDefault(key, at.positions().get(KEY));
    at.problems().add(position, "'" + key + "': " + what);
  }
}
