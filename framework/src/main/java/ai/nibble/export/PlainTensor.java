package ai.nibble.export;

import ai.nibble.InvalidInputException;
import ai.nibble.model.WeightSource;
import ai.nibble.safetensors.SafetensorsWriter;
import ai.nibble.safetensors.TensorSpec;
import ai.nibble.tensor.Bfloat16;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Float16;
import ai.nibble.tensor.Parallel;
import ai.nibble.tensor.Rows;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/**
 * One tensor of a source as plain values, written a few rows at a time.
 *
 * @param dtype bfloat16, float16 or float32: what it is rounded to
 */
public record PlainTensor(WeightSource source, String name, DType dtype) {
  /** Elements computed, rounded and written at a time. */
  private static final int SLAB = 1 << 20;

  /** Name, dtype and shape. */
  public TensorSpec spec() {
    return TensorSpec.of(name, dtype, source.shape(name));
  }

  /**
   * Writes it.
   *
   * @throws InvalidInputException if a value is not finite, or too large for the dtype
   */
  public void write(SafetensorsWriter writer) {
    TensorSpec spec = spec();
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
            source.read(name, (firstRow + begin) * width, values, offset, n);
            encode(values, offset, n, bytes.duplicate().order(bytes.order()));
          });
      writer.write(name, bytes.clear().limit(count * width * dtype.bytes()));
    }
  }

  private void encode(float[] values, int offset, int count, ByteBuffer bytes) {
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
                    : ", expected finite values: the model, or an adapter that was merged into it,"
                        + " is damaged, or they do not fit"));
      }
    }
  }
}
