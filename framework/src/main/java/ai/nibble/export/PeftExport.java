package ai.nibble.export;

import ai.nibble.FileProblem;
import ai.nibble.InvalidInputException;
import ai.nibble.WholeDirectory;
import ai.nibble.WholeFile;
import ai.nibble.lora.AdapterConfigFile;
import ai.nibble.lora.AdapterStore;
import ai.nibble.safetensors.SafetensorsFile;
import ai.nibble.safetensors.SafetensorsTensor;
import ai.nibble.safetensors.SafetensorsWriter;
import ai.nibble.safetensors.TensorSpec;
import ai.nibble.tensor.Bfloat16;
import ai.nibble.tensor.DType;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Writes an adapter for PEFT in float32 or bfloat16: as the directory that PEFT reads, or as one
 * safetensors file whose metadata {@code adapter_config} is the text of {@code
 * adapter_config.json}. Names and configuration stay as they are, byte for byte.
 */
public final class PeftExport {
  /** The key of the configuration in a single file's metadata. */
  public static final String CONFIG_KEY = "adapter_config";

  private static final int PIECE = 1 << 16;

  private PeftExport() {}

  /**
   * Writes the adapter.
   *
   * @param adapter a directory as PEFT writes it
   * @param dtype float32 or bfloat16
   * @param out a single file if it ends in {@code .safetensors}, else a directory; new
   * @return number of tensors written
   * @throws InvalidInputException if the place is taken, the adapter is damaged, or a value is not
   *     finite
   */
  public static int write(Path adapter, DType dtype, Path out) {
    WholeFile.requireNew(out, "--out");
    AdapterConfigFile.read(adapter); // refused here rather than by whoever loads the copy
    byte[] config = bytes(adapter.resolve(AdapterConfigFile.NAME));
    try (SafetensorsFile file = SafetensorsFile.open(AdapterStore.weights(adapter))) {
      for (String name : file.names()) {
        if (file.firstNonFinite(name).isPresent()) {
          throw new InvalidInputException(
              file.path() + ": tensor '" + name + "' is not finite: not written");
        }
      }
      if (out.getFileName().toString().endsWith(".safetensors")) {
        Map<String, String> metadata = new LinkedHashMap<>(SafetensorsWriter.PYTORCH);
        metadata.put(CONFIG_KEY, new String(config, StandardCharsets.UTF_8));
        copy(file, dtype, out, metadata);
      } else {
        writeDirectory(file, dtype, config, out);
      }
      return file.names().size();
    }
  }

  private static void writeDirectory(SafetensorsFile file, DType dtype, byte[] config, Path out) {
    try (WholeDirectory directory = WholeDirectory.create(out, "--out")) {
      copy(file, dtype, directory.path().resolve(AdapterStore.WEIGHTS), SafetensorsWriter.PYTORCH);
      WholeFile.write(directory.path().resolve(AdapterConfigFile.NAME), config);
      directory.commit();
    } catch (IOException e) {
      throw new UncheckedIOException(out + ": cannot be written: " + FileProblem.reason(e), e);
    }
  }

  private static void copy(
      SafetensorsFile file, DType dtype, Path target, Map<String, String> metadata) {
    List<TensorSpec> specs =
        file.names().stream()
            .map(name -> TensorSpec.of(name, dtype, file.tensor(name).dimensions()))
            .toList();
    float[] values = new float[PIECE];
    ByteBuffer piece = ByteBuffer.allocate(PIECE * dtype.bytes()).order(ByteOrder.LITTLE_ENDIAN);
    try (SafetensorsWriter writer = SafetensorsWriter.create(target, specs, metadata)) {
      for (TensorSpec spec : specs) {
        SafetensorsTensor tensor = file.tensor(spec.name());
        for (long first = 0; first < tensor.elements(); first += PIECE) {
          int count = (int) Math.min(PIECE, tensor.elements() - first);
          file.readFloats(spec.name(), first, values, 0, count);
          fill(piece.clear(), values, count, dtype);
          writer.write(spec.name(), piece.flip());
        }
      }
      writer.commit();
    }
  }

  private static void fill(ByteBuffer piece, float[] values, int count, DType dtype) {
    for (int i = 0; i < count; i++) {
      if (dtype == DType.BFLOAT16) {
        piece.putShort(Bfloat16.of(values[i]));
      } else {
        piece.putFloat(values[i]);
      }
    }
  }

  private static byte[] bytes(Path file) {
    try {
      return Files.readAllBytes(file);
    } catch (IOException e) {
      throw new InvalidInputException(file + " cannot be read: " + FileProblem.reason(e), e);
    }
  }
}
