package ai.nibble;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;

/**
 * What a file held, to tell later whether it still does.
 *
 * @param bytes its size
 * @param sha256 of its content, 64 hexadecimal digits
 */
public record FileSum(long bytes, String sha256) {
  /** What became of a file. */
  public enum State {
    OK,
    CHANGED,
    MISSING
  }

  /** Reads all of a file. */
  public static FileSum of(Path file) throws IOException {
    return new FileSum(Files.size(file), Sha256.of(file));
  }

  /** Compares; a file of another size is not read. */
  public State state(Path file) throws IOException {
    if (!Files.isRegularFile(file)) {
      return State.MISSING;
    }
    boolean same = Files.size(file) == bytes && Sha256.of(file).equals(sha256);
    return same ? State.OK : State.CHANGED;
  }

  /** How a file differs, in words that follow its name; empty where it does not. */
  public Optional<String> difference(Path file) throws IOException {
    return switch (state(file)) {
      case OK -> Optional.empty();
      case MISSING -> Optional.of("is missing");
      case CHANGED ->
          Optional.of(
              Files.size(file) == bytes
                  ? "has another SHA-256, expected " + sha256
                  : "has " + Files.size(file) + " bytes, expected " + bytes);
    };
  }
}
