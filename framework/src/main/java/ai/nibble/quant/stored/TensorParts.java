package ai.nibble.quant.stored;

import ai.nibble.InvalidInputException;
import ai.nibble.safetensors.SafetensorsDirectory;
import ai.nibble.safetensors.SafetensorsTensor;
import ai.nibble.safetensors.SafetensorsType;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Tensor;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.List;
import java.util.Set;

/**
 * The tensors of a checkpoint that quantised matrices are made of, checked as they are asked for.
 */
final class TensorParts {
  /** Bytes read at a time. */
  private static final int WINDOW = 1 << 24;

  private final SafetensorsDirectory files;

  TensorParts(SafetensorsDirectory files) {
    this.files = files;
  }

  Set<String> names() {
    return files.names();
  }

  boolean has(String name) {
    return files.names().contains(name);
  }

  /** The tensor's header. */
  SafetensorsTensor header(String name) {
    return files.tensor(name);
  }

  /** File and tensor, for messages. */
  String place(String name) {
    return files.fileOf(name).path() + ": tensor '" + name + "'";
  }

  /**
   * Checks a part by its header.
   *
   * @param shapes that it may have, the usual one first
   * @throws InvalidInputException if it is missing, or of another type or shape
   */
  void require(String matrix, String name, SafetensorsType type, List<List<Long>> shapes) {
    if (!has(name)) {
      throw new InvalidInputException(
          files.directory()
              + ": tensor '"
              + name
              + "' is missing, without which '"
              + matrix
              + "' cannot be read; fetch all of the model's files again");
    }
    SafetensorsTensor tensor = header(name);
    if (tensor.type() != type || !shapes.contains(tensor.shape())) {
      throw new InvalidInputException(
          place(name)
              + " is "
              + tensor.type()
              + " "
              + tensor.shape()
              + ", expected "
              + type
              + " "
              + shapes.get(0)
              + " for '"
              + matrix
              + "': the file is damaged, or its parts belong to different models");
    }
  }

  /** The bytes of a small tensor. */
  byte[] bytes(String name) {
    byte[] bytes = new byte[Math.toIntExact(header(name).bytes())];
    files.read(name, 0, ByteBuffer.wrap(bytes));
    return bytes;
  }

  /** The values of a floating-point tensor. */
  float[] floats(String name) {
    float[] values = new float[Math.toIntExact(header(name).elements())];
    files.readFloats(name, 0, values, 0, values.length);
    return values;
  }

  /** The values of an int32 tensor. */
  int[] ints(String name) {
    ByteBuffer bytes = ByteBuffer.wrap(bytes(name)).order(ByteOrder.LITTLE_ENDIAN);
    int[] values = new int[bytes.limit() / Integer.BYTES];
    bytes.asIntBuffer().get(values);
    return values;
  }

  /**
   * A tensor's bytes in memory, whatever type the file gives them.
   *
   * @return contiguous, which the caller closes
   */
  Tensor tensor(String name, DType dtype, long... shape) {
    Tensor tensor = Tensor.empty(dtype, shape);
    try {
      long size = tensor.byteSize();
      for (long at = 0; at < size; at += WINDOW) {
        files.read(name, at, tensor.bytes(at, (int) Math.min(WINDOW, size - at)));
      }
      return tensor;
    } catch (RuntimeException e) {
      tensor.close();
      throw e;
    }
  }
}
