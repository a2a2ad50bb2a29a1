package ai.nibble.data.stored;

import ai.nibble.FileProblem;
import ai.nibble.WholeFile;
import ai.nibble.data.EncodingSummary;
import ai.nibble.data.Example;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.HexFormat;
import java.util.Optional;
import java.util.function.Consumer;
import java.util.function.Function;

/**
 * Where encoded examples are: in a directory that keeps them for the next run, under a name made of
 * all that decides them; or, without one, in a temporary file that is gone when it is closed.
 *
 * <p>A kept file appears whole or not at all. One that is damaged is encoded again.
 */
public final class ExampleStore {
  private static final String ENDING = ".examples";

  private final Optional<Path> directory;
  private final Consumer<String> log;

  /**
   * @param directory made when the first file is; empty: nothing is kept
   * @param log hears in a line of what is found, kept, damaged or impossible
   */
  public ExampleStore(Optional<Path> directory, Consumer<String> log) {
    this.directory = directory;
    this.log = log;
  }

  /**
   * The examples of a key.
   *
   * @param key of 32 bytes: a SHA-256 sum of all that decides the examples
   * @param encode writes them, where they are not there yet, and says what became of the rows
   * @throws UncheckedIOException where neither the directory nor a temporary file can be written
   */
  public ExampleFile get(byte[] key, Function<Consumer<Example>, EncodingSummary> encode) {
    if (key.length != Layout.KEY_BYTES) {
      throw new IllegalArgumentException("a key of " + key.length + " bytes");
    }
    if (directory.isEmpty()) {
      return temporary(key, encode);
    }
    Path kept = directory.get().resolve(HexFormat.of().formatHex(key, 0, 16) + ENDING);
    Optional<ExampleFile> found = find(kept, key);
    return found.orElseGet(() -> keep(kept, key, encode));
  }

  private Optional<ExampleFile> find(Path kept, byte[] key) {
    if (!Files.exists(kept)) {
      return Optional.empty();
    }
    try {
      ExampleFile file = ExampleFile.open(kept, key);
      log.accept("encoded before, read from " + kept);
      return Optional.of(file);
    } catch (DamagedFileException e) {
      log.accept(kept + " is damaged and not used (" + e.getMessage() + "): encoding again");
    } catch (IOException e) {
      log.accept(
          kept + " cannot be read and is not used (" + FileProblem.reason(e) + "): encoding again");
    }
    return Optional.empty();
  }

  private ExampleFile keep(
      Path kept, byte[] key, Function<Consumer<Example>, EncodingSummary> encode) {
    Path temporary = WholeFile.temporary(kept);
    FileChannel file;
    try {
      Files.createDirectories(kept.getParent());
      file =
          FileChannel.open(
              temporary,
              StandardOpenOption.CREATE_NEW,
              StandardOpenOption.READ,
              StandardOpenOption.WRITE);
    } catch (IOException e) {
      log.accept(
          kept.getParent()
              + " cannot be written, so encoded rows are not kept: "
              + FileProblem.reason(e));
      return temporary(key, encode);
    }
    boolean whole = false;
    try {
      ExampleFile examples = write(temporary, file, key, encode);
      file.force(true);
      WholeFile.move(temporary, kept);
      log.accept("encoded rows kept in " + kept);
      whole = true;
      return examples;
    } catch (IOException e) {
      throw new UncheckedIOException(kept + ": cannot be written: " + FileProblem.reason(e), e);
    } finally {
      if (!whole) {
        discard(file, temporary);
      }
    }
  }

  /** What failed is being thrown already, and is what matters. */
  private static void discard(FileChannel file, Path temporary) {
    try {
      file.close();
      Files.deleteIfExists(temporary);
    } catch (IOException e) {
      // nothing more can be done
    }
  }

  private static ExampleFile write(
      Path path,
      FileChannel file,
      byte[] key,
      Function<Consumer<Example>, EncodingSummary> encode) {
    ExampleFileWriter writer = new ExampleFileWriter(path, file);
    return writer.finish(encode.apply(writer), key);
  }

  private static ExampleFile temporary(
      byte[] key, Function<Consumer<Example>, EncodingSummary> encode) {
    try {
      Path path = Files.createTempFile("nibble-", ENDING);
      // on Linux the name is gone at once: not even a crash leaves anything
      FileChannel file =
          FileChannel.open(
              path,
              StandardOpenOption.READ,
              StandardOpenOption.WRITE,
              StandardOpenOption.DELETE_ON_CLOSE);
      try {
        return write(path, file, key, encode);
      } catch (RuntimeException | Error e) {
        file.close();
        throw e;
      }
    } catch (IOException e) {
      throw new UncheckedIOException(
          "a temporary file cannot be written: " + FileProblem.reason(e), e);
    }
  }
}
