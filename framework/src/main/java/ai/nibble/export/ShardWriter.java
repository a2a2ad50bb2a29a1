package ai.nibble.export;

import ai.nibble.InvalidInputException;
import ai.nibble.WholeFile;
import ai.nibble.safetensors.SafetensorsDirectory;
import ai.nibble.safetensors.SafetensorsFile;
import ai.nibble.safetensors.SafetensorsWriter;
import ai.nibble.safetensors.TensorSpec;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;

/**
 * Writes weights as a Hugging Face directory has them: {@code model.safetensors}, or {@code
 * model-00001-of-0000N.safetensors} and their index where they are more than a shard takes.
 *
 * <p>Each file appears whole, so one that is there already is taken as it is: a directory whose
 * writing was interrupted is gone on with.
 */
public final class ShardWriter {
  /** The tensors of a model, each of which is one or several of a file. */
  public interface Content {
    /** The model's tensors, in the order in which files take them. */
    Collection<String> names();

    /** Bytes of a tensor in a file, near enough to divide them among files. */
    long bytes(String name);

    /** What is written of a tensor; asked for when its file is begun. */
    List<TensorSpec> specs(String name);

    /**
     * Writes all that {@link #specs} announced.
     *
     * @throws InvalidInputException if a value cannot be written
     */
    void write(String name, SafetensorsWriter writer);
  }

  private final Content content;
  private final Map<String, String> metadata;
  private final Consumer<String> progress;

  /**
   * @param metadata of every file
   * @param progress takes a line for each file that is begun
   */
  public ShardWriter(Content content, Map<String, String> metadata, Consumer<String> progress) {
    this.content = content;
    this.metadata = metadata;
    this.progress = progress;
  }

  /** Bytes of all tensors, near enough. */
  public long bytes() {
    return content.names().stream().mapToLong(content::bytes).sum();
  }

  /**
   * Writes all weights.
   *
   * @param maxShardBytes of a file's tensors; one tensor may be more by itself
   * @return how many files
   * @throws InvalidInputException if a value cannot be written
   */
  public int write(Path directory, long maxShardBytes) throws IOException {
    List<List<String>> shards = shards(maxShardBytes);
    if (shards.size() == 1) {
      writeShard(directory.resolve(SafetensorsDirectory.SINGLE), shards.get(0));
      return 1;
    }
    ObjectNode index = JsonMapper.builder().build().createObjectNode();
    ObjectNode total = index.putObject("metadata");
    ObjectNode map = index.putObject("weight_map");
    long bytes = 0;
    for (int i = 0; i < shards.size(); i++) {
      String name = "model-%05d-of-%05d.safetensors".formatted(i + 1, shards.size());
      Path file = directory.resolve(name);
      writeShard(file, shards.get(i));
      try (SafetensorsFile written = SafetensorsFile.open(file)) {
        for (String tensor : written.names()) {
          map.put(tensor, name);
          bytes += written.tensor(tensor).bytes();
        }
      }
    }
    total.put("total_size", bytes);
    WholeFile.write(directory.resolve(SafetensorsDirectory.INDEX), index.toPrettyString() + "\n");
    return shards.size();
  }

  /** Tensors in the model's order, as many to a shard as it takes. */
  private List<List<String>> shards(long maxShardBytes) {
    List<List<String>> shards = new ArrayList<>();
    long room = 0;
    for (String name : content.names()) {
      long bytes = content.bytes(name);
      if (shards.isEmpty() || bytes > room) {
        shards.add(new ArrayList<>());
        room = maxShardBytes;
      }
      shards.get(shards.size() - 1).add(name);
      room -= bytes;
    }
    return shards;
  }

  private void writeShard(Path file, List<String> names) {
    if (Files.isRegularFile(file)) {
      progress.accept(file.getFileName() + " is there already");
      return;
    }
    progress.accept("writing " + file.getFileName());
    List<TensorSpec> specs = names.stream().flatMap(n -> content.specs(n).stream()).toList();
    try (SafetensorsWriter writer = SafetensorsWriter.create(file, specs, metadata)) {
      names.forEach(name -> content.write(name, writer));
      writer.commit();
    }
  }
}
