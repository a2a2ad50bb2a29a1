package ai.nibble.model;

import ai.nibble.FileProblem;
import ai.nibble.InvalidInputException;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * What stands beside a base's weights and goes with a model that is trained from it, in memory: a
 * base that is moved while a run is under way loses nothing. Immutable.
 */
public final class BaseFiles {
  private final Map<String, byte[]> files;

  private BaseFiles(Map<String, byte[]> files) {
    this.files = files;
  }

  /**
   * Reads {@link ModelStore#CONFIG} and those of {@link ModelStore#COPIED} that are there.
   *
   * @param base the directory or GGUF file of the weights
   * @throws InvalidInputException if one cannot be read
   */
  public static BaseFiles read(Path base) {
    Path directory = WeightSource.directory(base);
    Map<String, byte[]> files = new LinkedHashMap<>();
    files.put(ModelStore.CONFIG, bytes(directory.resolve(ModelStore.CONFIG)));
    for (String name : ModelStore.COPIED) {
      if (Files.isRegularFile(directory.resolve(name))) {
        files.put(name, bytes(directory.resolve(name)));
      }
    }
    return new BaseFiles(files);
  }

  private static byte[] bytes(Path file) {
    try {
      return Files.readAllBytes(file);
    } catch (IOException e) {
      throw new InvalidInputException(
          file
              + " cannot be read ("
              + FileProblem.reason(e)
              + "), which the trained model needs beside its weights",
          e);
    }
  }

  /** The same with another chat template, the one that the model is trained with. */
  public BaseFiles withChatTemplate(String jinja) {
    Map<String, byte[]> changed = new LinkedHashMap<>(files);
    changed.remove("chat_template.json"); // an older form of the same
    changed.put(ModelStore.CHAT_TEMPLATE, jinja.getBytes(StandardCharsets.UTF_8));
    return new BaseFiles(changed);
  }

  byte[] config() {
    return files.get(ModelStore.CONFIG);
  }

  /** All but the configuration, by their names. */
  Map<String, byte[]> copied() {
    Map<String, byte[]> copied = new LinkedHashMap<>(files);
    copied.remove(ModelStore.CONFIG);
    return Collections.unmodifiableMap(copied);
  }
}
