package ai.nibble.golden;

import ai.nibble.quant.Quant4Config;
import ai.nibble.quant.Quantized4Bit;
import ai.nibble.quant.Quantizer4Bit;
import ai.nibble.safetensors.SafetensorsDirectory;
import ai.nibble.safetensors.SafetensorsWriter;
import ai.nibble.safetensors.TensorSpec;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Tensor;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/**
 * A base as bitsandbytes 0.50 dequantises it on a CPU with AVX-512: with the absmax of block {@code
 * row · ⌊columns/block⌋ + column/block}, which is another block than the value was quantised with
 * where the block does not divide the row.
 */
final class MisreadBase {
  private MisreadBase() {}

  /** Writes the base's directory anew, its linears quantised and misread, all in float32. */
  static void write(Path base, Quant4Config config, Path directory) throws IOException {
    Files.copy(base.resolve("config.json"), directory.resolve("config.json"));
    try (SafetensorsDirectory weights = SafetensorsDirectory.open(base)) {
      List<TensorSpec> specs = new ArrayList<>();
      for (String name : weights.names()) {
        specs.add(TensorSpec.of(name, DType.FLOAT32, weights.tensor(name).dimensions()));
      }
      Path file = directory.resolve(SafetensorsDirectory.SINGLE);
      try (SafetensorsWriter writer = SafetensorsWriter.create(file, specs)) {
        for (TensorSpec spec : specs) {
          float[] values = new float[Math.toIntExact(spec.bytes() / Float.BYTES)];
          weights.readFloats(spec.name(), 0, values, 0, values.length);
          if (spec.name().endsWith("_proj.weight")) {
            misread(spec, config, values);
          }
          ByteBuffer bytes = ByteBuffer.allocate((int) spec.bytes()).order(ByteOrder.LITTLE_ENDIAN);
          bytes.asFloatBuffer().put(values);
          writer.write(spec.name(), bytes);
        }
        writer.commit();
      }
    }
  }

  private static void misread(TensorSpec spec, Quant4Config config, float[] values) {
    long rows = spec.shape().get(0);
    int columns = Math.toIntExact(spec.shape().get(1));
    try (Tensor weight = Tensor.of(values, rows, columns);
        Quantized4Bit quantized = Quantizer4Bit.quantize(spec.name(), weight, config)) {
      float[] codes = config.type().codes();
      float[] absmax = new float[(int) config.blocks(values.length)];
      quantized.absmax(0, absmax);
      ByteBuffer packed = quantized.packed().bytes(0, (int) quantized.packed().numel());
      for (int i = 0; i < values.length; i++) {
        int nibble = packed.get(i / 2) >> (i % 2 == 0 ? 4 : 0) & 15;
        int row = i / columns;
        int block = row * (columns / config.blockSize()) + i % columns / config.blockSize();
        values[i] = codes[nibble] * absmax[block];
      }
    }
  }
}
