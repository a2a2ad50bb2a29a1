package ai.nibble.export.merge;

import ai.nibble.InvalidInputException;
import ai.nibble.safetensors.SafetensorsFile;
import ai.nibble.safetensors.SafetensorsWriter;
import ai.nibble.safetensors.TensorSpec;
import ai.nibble.tensor.DType;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * What a DoRA adapter multiplied the rows of a base's weights by when it was merged. The merged
 * rows have the adapter's magnitudes for norms, whatever they had before, so that these factors are
 * lost unless they are kept: {@code undo/NAME.safetensors} in the merged model's directory, out of
 * the way of those who read all safetensors files of a model.
 *
 * @param byName float32 {@code [out]} by the weight's name
 */
record RowGains(Map<String, float[]> byName) {
  /** The directory in a merged model's. */
  static final String DIRECTORY = "undo";

  RowGains {
    byName = Map.copyOf(byName);
  }

  /** Writes them. */
  void write(Path file) throws IOException {
    Files.createDirectories(file.getParent());
    List<TensorSpec> specs = new ArrayList<>();
    List<String> names = byName.keySet().stream().sorted().toList();
    names.forEach(n -> specs.add(TensorSpec.of(n, DType.FLOAT32, byName.get(n).length)));
    try (SafetensorsWriter writer = SafetensorsWriter.create(file, specs)) {
      for (String name : names) {
        float[] values = byName.get(name);
        ByteBuffer bytes =
            ByteBuffer.allocateDirect(values.length * Float.BYTES).order(ByteOrder.LITTLE_ENDIAN);
        bytes.asFloatBuffer().put(values);
        writer.write(name, bytes);
      }
      writer.commit();
    }
  }

  /**
   * Reads them.
   *
   * @throws InvalidInputException if the file is not there, or damaged
   */
  static RowGains read(Path file) {
    Map<String, float[]> gains = new LinkedHashMap<>();
    try (SafetensorsFile stored = SafetensorsFile.open(file)) {
      for (String name : stored.names()) {
        float[] values = new float[Math.toIntExact(stored.tensor(name).elements())];
        stored.readFloats(name, 0, values, 0, values.length);
        gains.put(name, values);
      }
    }
    return new RowGains(gains);
  }

  /**
   * The factors of a weight's rows.
   *
   * @throws InvalidInputException if there are none, or one is zero or no number: such a row is
   *     lost
   */
  float[] of(String name, int rows) {
    float[] gains = byName.get(name);
    if (gains == null || gains.length != rows) {
      throw new InvalidInputException(
          "'" + name + "' has no factors of its " + rows + " rows in " + DIRECTORY);
    }
    for (int row = 0; row < rows; row++) {
      if (gains[row] == 0 || !Float.isFinite(gains[row])) {
        throw new InvalidInputException(
            "'"
                + name
                + "': row "
                + row
                + " was multiplied by "
                + gains[row]
                + " when the adapter was merged, which nothing brings back: take the base itself");
      }
    }
    return gains;
  }
}
