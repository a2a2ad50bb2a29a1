package ai.nibble.export.merge;

import ai.nibble.InvalidInputException;
import ai.nibble.WholeFile;
import ai.nibble.model.WeightSource;
import ai.nibble.safetensors.SafetensorsDirectory;
import ai.nibble.safetensors.SafetensorsWriter;
import ai.nibble.safetensors.TensorSpec;
import ai.nibble.tensor.Bfloat16;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Float16;
import ai.nibble.tensor.Parallel;
import ai.nibble.tensor.Rows;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;

/**
 * Writes weights as a Hugging Face directory has them: {@code model.safetensors}, or {@code
 * model-00001-of-0000N.safetensors} and their index where they are more than a shard takes. A few
 * rows are in memory at a time.
 */
final class ShardWriter {
  /** Elements computed, rounded and written at a time. */
  private static final int SLAB = 1 << 20;

  private final WeightSource source;
  private final DType dtype;
  private final Map<String, String> metadata;
  private final Consumer<String> progress;

  /**
   * @param dtype bfloat16, float16 or float32: of every tensor
   * @param metadata of every file
   * @param progress takes a line for each shard that is begun
   */
  ShardWriter(
      WeightSource source, DType dtype, Map<String, String> metadata, Consumer<String> progress) {
    this.source = source;
    this.dtype = dtype;
    this.metadata = metadata;
    this.progress = progress;
  }

  /** Bytes of all tensors. */
  long bytes() {
    return source.names().stream().mapToLong(name -> spec(name).bytes()).sum();
  }

  /**
   * Writes all weights.
   *
   * @param maxShardBytes of a file's tensors; one tensor may be more by itself
   * @return how many files
   * @throws InvalidInputException if a value is not finite, or too large for the dtype
   */
  int write(Path directory, long maxShardBytes) throws IOException {
    List<List<TensorSpec>> shards = shards(maxShardBytes);
    if (shards.size() == 1) {
      progress.accept("writing " + SafetensorsDirectory.SINGLE);
      writeShard(directory.resolve(SafetensorsDirectory.SINGLE), shards.get(0));
      return 1;
    }
    JsonMapper json = JsonMapper.builder().build();
    ObjectNode index = json.createObjectNode();
    index.putObject("metadata").put("total_size", bytes());
    ObjectNode map = index.putObject("weight_map");
    for (int i = 0; i < shards.size(); i++) {
      String file = "model-%05d-of-%05d.safetensors".formatted(i + 1, shards.size());
      progress.accept("writing " + file);
      writeShard(directory.resolve(file), shards.get(i));
      shards.get(i).forEach(spec -> map.put(spec.name(), file));
    }
    WholeFile.write(directory.resolve(SafetensorsDirectory.INDEX), index.toPrettyString() + "\n");
    return shards.size();
  }

  /** Tensors in the model's order, as many to a shard as it takes. */
  private List<List<TensorSpec>> shards(long maxShardBytes) {
    List<List<TensorSpec>> shards = new ArrayList<>();
    long room = 0;
    for (String name : source.names()) {
      TensorSpec spec = spec(name);
      if (shards.isEmpty() || spec.bytes() > room) {
        shards.add(new ArrayList<>());
        room = maxShardBytes;
      }
      shards.get(shards.size() - 1).add(spec);
      room -= spec.bytes();
    }
    return shards;
  }

  private TensorSpec spec(String name) {
    return TensorSpec.of(name, dtype, source.shape(name));
  }

  private void writeShard(Path file, List<TensorSpec> specs) {
    try (SafetensorsWriter writer = SafetensorsWriter.create(file, specs, metadata)) {
      for (TensorSpec spec : specs) {
        writeTensor(writer, spec);
      }
      writer.commit();
    }
  }

  private void writeTensor(SafetensorsWriter writer, TensorSpec spec) {
    int width = Math.toIntExact(spec.shape().get(spec.shape().size() - 1));
    long rows = spec.bytes() / dtype.bytes() / width;
    int slabRows = (int) Math.min(rows, Math.max(1, SLAB / width));
    float[] values = new float[slabRows * width];
    ByteBuffer bytes = ByteBuffer.allocateDirect(values.length * dtype.bytes());
    bytes.order(ByteOrder.LITTLE_ENDIAN);
    for (long row = 0; row < rows; row += slabRows) {
      long firstRow = row;
      int count = (int) Math.min(slabRows, rows - row);
      Parallel.forRanges(
          count,
          Rows.grain(width),
          (begin, end) -> {
            int offset = (int) begin * width;
            int n = (int) (end - begin) * width;
            source.read(spec.name(), (firstRow + begin) * width, values, offset, n);
            encode(spec.name(), values, offset, n, bytes.duplicate().order(bytes.order()));
          });
      writer.write(spec.name(), bytes.clear().limit(count * width * dtype.bytes()));
    }
  }

  private void encode(String name, float[] values, int offset, int count, ByteBuffer bytes) {
    for (int i = offset; i < offset + count; i++) {
      float value = values[i];
      float written =
          switch (dtype) {
            case BFLOAT16 -> {
              short bits = Bfloat16.of(value);
              bytes.putShort(2 * i, bits);
              yield Bfloat16.toFloat(bits);
            }
            case FLOAT16 -> {
              short bits = Float16.of(value);
              bytes.putShort(2 * i, bits);
              yield Float16.toFloat(bits);
            }
            default -> {
              bytes.putFloat(4 * i, value);
              yield value;
            }
          };
      if (!Float.isFinite(written)) {
        throw new InvalidInputException(
            "tensor '"
                + name
                + "' holds "
                + value
                + (Float.isFinite(value)
                    ? ", more than " + dtype.torchName() + " can: write another dtype"
                    : " after merging, expected finite values: adapter and base do not fit"));
      }
    }
  }
}
