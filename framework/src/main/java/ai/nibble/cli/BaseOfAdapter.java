package ai.nibble.cli;

import ai.nibble.InvalidInputException;
import ai.nibble.lora.AdapterConfigFile;
import ai.nibble.recipe.TrainedWith;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;

/** The base model that an adapter names. */
final class BaseOfAdapter {
  private BaseOfAdapter() {}

  /**
   * Finds it: by the recipe beside the adapter, or by its configuration.
   *
   * @param trained what the adapter was trained with, if its recipe is there
   * @throws InvalidInputException if none is named, or it is not there
   */
  static Path find(Path adapter, Optional<TrainedWith> trained) {
    Optional<Path> named =
        trained
            .flatMap(TrainedWith::baseModel)
            .or(() -> AdapterConfigFile.readForMerging(adapter).baseModel().map(Path::of));
    if (named.filter(Files::exists).isEmpty()) {
      throw new InvalidInputException(
          adapter
              + ": "
              + named
                  .map(path -> "its base model '" + path + "' is not there")
                  .orElse("it names no base model")
              + ": give it with --model DIR");
    }
    return named.get();
  }
}
