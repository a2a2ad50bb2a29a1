package ai.nibble.safetensors;

import ai.nibble.FileProblem;
import ai.nibble.InvalidInputException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalLong;
import java.util.Set;
import java.util.stream.Stream;

/**
 * The weights of a model directory, one name space over all its files: {@code model.safetensors},
 * or the shards that {@code model.safetensors.index.json} lists. Where both are present the single
 * file counts, as in transformers.
 *
 * <p>A tensor that a shard holds but the index does not list is part of the model too; a tensor in
 * two shards, or in another shard than the index says, is an error.
 */
public final class SafetensorsDirectory implements AutoCloseable {
  /** The name of a model in one file. */
  public static final String SINGLE = "model.safetensors";

  /** The name of the list of shards. */
  public static final String INDEX = "model.safetensors.index.json";

  /** An index of another model is wrong of every tensor; these many lines say enough. */
  private static final int MAX_LINES = 5;

  private final Path directory;
  private final List<SafetensorsFile> files;
  private final Map<String, SafetensorsFile> fileOf;

  private SafetensorsDirectory(Path directory, List<SafetensorsFile> files) {
    this.directory = directory;
    this.files = List.copyOf(files);
    Map<String, SafetensorsFile> owner = new LinkedHashMap<>();
    for (SafetensorsFile file : files) {
      for (String name : file.names()) {
        SafetensorsFile other = owner.put(name, file);
        if (other != null) {
          throw new InvalidInputException(
              "%s: tensor '%s' is in two shards, %s and %s; remove the file that does not belong"
                  .formatted(
                      directory, name, other.path().getFileName(), file.path().getFileName()));
        }
      }
    }
    this.fileOf = Collections.unmodifiableMap(owner);
  }

  /** Whether the directory holds safetensors weights under the names this class reads. */
  public static boolean isPresent(Path directory) {
    return Files.exists(directory.resolve(SINGLE)) || Files.exists(directory.resolve(INDEX));
  }

  /**
   * Opens and checks all files of a model.
   *
   * @throws InvalidInputException naming what is missing, disagrees or breaks the format
   */
  public static SafetensorsDirectory open(Path directory) {
    if (!Files.exists(directory)) {
      throw new InvalidInputException(
          directory + ": no such directory, expected a model directory");
    }
    if (!Files.isDirectory(directory)) {
      throw new InvalidInputException(
          directory + ": is a file, expected a model directory that holds " + SINGLE);
    }
    List<SafetensorsFile> open = new ArrayList<>();
    boolean done = false;
    try {
      Path single = directory.resolve(SINGLE);
      Path indexPath = directory.resolve(INDEX);
      SafetensorsDirectory model;
      if (Files.exists(single)) {
        open.add(SafetensorsFile.open(single));
        model = new SafetensorsDirectory(directory, open);
      } else if (Files.exists(indexPath)) {
        ShardIndex index = ShardIndex.read(indexPath);
        for (String shard : index.shards()) {
          open.add(SafetensorsFile.open(directory.resolve(shard)));
        }
        model = new SafetensorsDirectory(directory, open);
        model.checkAgainst(index);
      } else {
        throw new InvalidInputException(nothingFound(directory));
      }
      done = true;
      return model;
    } finally {
      if (!done) {
        open.forEach(SafetensorsFile::close);
      }
    }
  }

  private void checkAgainst(ShardIndex index) {
    List<String> problems = new ArrayList<>();
    int more = 0; // a line for each of a million tensors would take more memory than the index
    for (Map.Entry<String, String> entry : index.shardOf().entrySet()) {
      SafetensorsFile file = fileOf.get(entry.getKey());
      if (file != null && file.path().equals(directory.resolve(entry.getValue()))) {
        continue;
      }
      if (problems.size() == MAX_LINES) {
        more++;
        continue;
      }
      problems.add(
          "%s: says tensor '%s' is in %s, which does not hold it%s; fetch all of the model's files again"
              .formatted(
                  index.path(),
                  HeaderParser.shown(entry.getKey()),
                  entry.getValue(),
                  file == null ? "" : " (it is in " + file.path().getFileName() + ")"));
    }
    if (more > 0) {
      problems.add("%s: and %d more tensors like these".formatted(index.path(), more));
    }
    if (!problems.isEmpty()) {
      throw new InvalidInputException(problems);
    }
  }

  private static String nothingFound(Path directory) {
    List<String> names;
    try (Stream<Path> list = Files.list(directory)) {
      names = list.limit(10_000).map(p -> p.getFileName().toString()).sorted().toList();
    } catch (IOException e) {
      throw new UncheckedIOException(directory + ": cannot be listed: " + FileProblem.reason(e), e);
    }
    String missing = "%s: no %s and no %s".formatted(directory, SINGLE, INDEX);
    if (names.isEmpty()) {
      return missing + "; the directory is empty";
    }
    List<String> pickles =
        names.stream().filter(n -> n.matches(".*\\.(bin|pt|pth|pkl|ckpt)")).limit(3).toList();
    if (!pickles.isEmpty()) {
      return missing
          + ", only "
          + String.join(", ", pickles)
          + ": pickle files are not loaded because they can run code; convert them to safetensors";
    }
    List<String> others = names.stream().filter(n -> n.endsWith(".safetensors")).limit(3).toList();
    return others.isEmpty()
        ? missing + "; the weights are not in this directory"
        : missing + ", only " + String.join(", ", others) + "; rename what is the model";
  }

  /** The directory, as given. */
  public Path directory() {
    return directory;
  }

  /** The open files in the order of the index. */
  public List<SafetensorsFile> files() {
    return files;
  }

  /** All tensors' names, file by file in the order of their bytes. */
  public Set<String> names() {
    return fileOf.keySet();
  }

  /** The file that holds a tensor. */
  public SafetensorsFile fileOf(String name) {
    SafetensorsFile file = fileOf.get(name);
    if (file == null) {
      throw new InvalidInputException(
          "%s: no tensor '%s' among its %d tensors".formatted(directory, name, fileOf.size()));
    }
    return file;
  }

  /** See {@link SafetensorsFile#tensor}. */
  public SafetensorsTensor tensor(String name) {
    return fileOf(name).tensor(name);
  }

  /** See {@link SafetensorsFile#bytes}. */
  public ByteBuffer bytes(String name, long offset, int length) {
    return fileOf(name).bytes(name, offset, length);
  }

  /** See {@link SafetensorsFile#read}. */
  public void read(String name, long offset, ByteBuffer target) {
    fileOf(name).read(name, offset, target);
  }

  /** See {@link SafetensorsFile#readFloats}. */
  public void readFloats(String name, long firstElement, float[] out, int outOffset, int count) {
    fileOf(name).readFloats(name, firstElement, out, outOffset, count);
  }

  /** See {@link SafetensorsFile#firstNonFinite}. */
  public OptionalLong firstNonFinite(String name) {
    return fileOf(name).firstNonFinite(name);
  }

  @Override
  public void close() {
    files.forEach(SafetensorsFile::close);
  }
}
