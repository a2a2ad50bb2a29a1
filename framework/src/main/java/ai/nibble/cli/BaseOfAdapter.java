package ai.nibble.cli;

import ai.nibble.InvalidInputException;
import ai.nibble.hub.HubId;
import ai.nibble.hub.HubModels;
import ai.nibble.lora.AdapterConfig;
import ai.nibble.lora.AdapterConfigFile;
import ai.nibble.recipe.TrainedWith;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.Optional;

/** The base model that an adapter names. */
final class BaseOfAdapter {
  private BaseOfAdapter() {}

  /**
   * Finds it: by the recipe beside the adapter, or by its configuration, which may name a model of
   * the Hugging Face hub; that is taken out of the cache, or fetched.
   *
   * @param trained what the adapter was trained with, if its recipe is there
   * @throws InvalidInputException if none is named, or it is not there
   */
  static Path find(Path adapter, Optional<TrainedWith> trained) {
    Optional<Path> recipes = trained.flatMap(TrainedWith::baseModel);
    if (recipes.filter(Files::exists).isPresent()) {
      return recipes.get();
    }
    AdapterConfig config = AdapterConfigFile.readForMerging(adapter);
    Optional<String> named = config.baseModel().or(() -> recipes.map(Path::toString));
    return named
        .flatMap(name -> located(adapter, name, config.revision()))
        .orElseThrow(
            () ->
                new InvalidInputException(
                    adapter
                        + ": "
                        + recipes
                            .map(Path::toString)
                            .or(() -> named)
                            .map(path -> "its base model '" + path + "' is not there")
                            .orElse("it names no base model")
                        + ": give it with --model DIR"));
  }

  private static Optional<Path> located(Path adapter, String name, Optional<String> revision) {
    try {
      Path path = Path.of(name);
      if (Files.exists(path)) {
        return Optional.of(path);
      }
      return HubId.parse(name)
          .map(id -> revision.map(id::at).orElse(id))
          .map(id -> HubModels.ofEnvironment().locate(id));
    } catch (InvalidPathException e) {
      return Optional.empty();
    } catch (InvalidInputException e) {
      throw new InvalidInputException(
          adapter + ": its base model: " + e.getMessage() + "; or give it with --model DIR", e);
    }
  }
}
