package ai.nibble.cuda;

import ai.nibble.tensor.CudaProgram;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Device;
import ai.nibble.tensor.Grid;
import ai.nibble.tensor.Tensor;
import ai.nibble.tensor.TensorException;
import java.util.Arrays;

/**
 * The operands of one operation, checked before its kernel is launched: all contiguous, on one
 * device and of the shapes that the operation's first operand implies.
 */
final class Operands {
  /** Elements of a row that kernels count in 32 bits, with room for their steps. */
  private static final long WIDEST = 1L << 30;

  private final String operation;
  private final DType dtype;
  private final Device device;

  private Operands(String operation, DType dtype, Device device) {
    this.operation = operation;
    this.dtype = dtype;
    this.device = device;
  }

  /**
   * Operands that are alike in dtype and device to this one, float32, bfloat16 or float16.
   *
   * @param operation for messages, {@code rms_norm}
   * @throws TensorException if it is of another dtype or not contiguous
   */
  static Operands like(String operation, String name, Tensor first) {
    Operands operands = new Operands(operation, first.dtype(), first.device());
    if (operands.suffix() == null) {
      throw operands.wrong(name, first, "float32, bfloat16 or float16");
    }
    operands.typed(name, first, first.shape());
    return operands;
  }

  /**
   * As {@link #like}, of a first operand whose rows may be apart.
   *
   * @param follows whether it is laid out as the operation was told
   */
  static Operands strided(
      String operation, String name, Tensor first, boolean follows, String expectation) {
    Operands operands = new Operands(operation, first.dtype(), first.device());
    if (operands.suffix() == null || !follows) {
      throw operands.wrong(name, first, "float32, bfloat16 or float16 with " + expectation);
    }
    return operands;
  }

  /** Operands on a device that have each a dtype of their own. */
  static Operands on(String operation, Device device) {
    return new Operands(operation, null, device);
  }

  /** Checks that an operand is where the kernel is to run. */
  Operands on(String name, Tensor tensor, Device expected) {
    if (!tensor.device().equals(expected)) {
      throw wrong(name, tensor, "on " + expected);
    }
    return this;
  }

  /** Dtype that the kernel is made for. */
  DType dtype() {
    return dtype;
  }

  /** Device of all operands. */
  Device device() {
    return device;
  }

  /** Checks an operand of the first one's dtype. */
  Operands typed(String name, Tensor tensor, long... shape) {
    return require(name, tensor, dtype, shape);
  }

  /** Checks an operand of the first one's dtype that may be null. */
  Operands typedOrNull(String name, Tensor tensor, long... shape) {
    return tensor == null ? this : require(name, tensor, dtype, shape);
  }

  /**
   * Checks a matrix of the first one's dtype with contiguous rows that may lie apart, as {@link
   * Tensor#emptyRows} makes it.
   */
  Operands typedRows(String name, Tensor tensor, long rows, long columns) {
    boolean follows =
        tensor.dim() == 2
            && (columns <= 1 || tensor.stride(1) == 1)
            && (rows <= 1 || tensor.stride(0) >= columns);
    if (!follows || !on(name, tensor, device).isTyped(tensor, rows, columns)) {
      throw wrong(
          name,
          tensor,
          dtype.torchName() + Arrays.toString(new long[] {rows, columns}) + ", contiguous rows");
    }
    return this;
  }

  private boolean isTyped(Tensor tensor, long... shape) {
    return tensor.dtype() == dtype && Arrays.equals(tensor.shape(), shape);
  }

  /** Checks an operand's dtype, shape and device, and that it is contiguous. */
  Operands require(String name, Tensor tensor, DType expected, long... shape) {
    if (tensor.dtype() != expected
        || !Arrays.equals(tensor.shape(), shape)
        || !tensor.device().equals(device)
        || !tensor.isContiguous()) {
      throw wrong(
          name,
          tensor,
          expected.torchName()
              + Arrays.toString(shape)
              + (device.isCpu() ? "" : "@" + device)
              + ", contiguous");
    }
    return this;
  }

  /** Checks an operand of any shape with so many elements. */
  Operands flat(String name, Tensor tensor, DType expected, long elements) {
    if (tensor.numel() != elements) {
      throw wrong(name, tensor, elements + " elements");
    }
    return require(name, tensor, expected, tensor.shape());
  }

  /** Checks the number of dimensions of an operand. */
  Operands dimensions(String name, Tensor tensor, int dimensions) {
    if (tensor.dim() != dimensions) {
      throw wrong(name, tensor, dimensions + " dimensions");
    }
    return this;
  }

  /** Checks a whole number; {@code expectation} says what it should be. */
  Operands number(String name, long value, boolean holds, String expectation) {
    return requireNumber(name, Long.toString(value), holds, expectation);
  }

  /** Checks a number; {@code expectation} says what it should be. */
  Operands number(String name, double value, boolean holds, String expectation) {
    return requireNumber(name, Double.toString(value), holds, expectation);
  }

  private Operands requireNumber(String name, String value, boolean holds, String expectation) {
    if (!holds) {
      throw new TensorException(
          operation + ": " + name + " is " + value + ", expected " + expectation);
    }
    return this;
  }

  /** The complaint about an operand. */
  TensorException wrong(String name, Tensor tensor, String expectation) {
    String kind = tensor.isContiguous() ? "" : "strided ";
    return new TensorException(
        operation + ": " + name + " is " + kind + tensor + ", expected " + expectation);
  }

  /** Elements of a row, as kernels count them. */
  int width(String name, long elements) {
    if (elements < 0 || elements > WIDEST) {
      throw new TensorException(
          operation + ": " + name + " is " + elements + " wide, expected at most " + WIDEST);
    }
    return (int) elements;
  }

  private String suffix() {
    return switch (dtype) {
      case FLOAT32 -> "_f32";
      case BFLOAT16 -> "_bf16";
      case FLOAT16 -> "_f16";
      default -> null;
    };
  }

  /** Launches the dtype's variant of a kernel. */
  void launchTyped(CudaProgram program, String kernel, Grid grid, Object... arguments) {
    program.launch(kernel + suffix(), device, grid, arguments);
  }

  /** Launches a kernel that has no variants. */
  void launch(CudaProgram program, String kernel, Grid grid, Object... arguments) {
    program.launch(kernel, device, grid, arguments);
  }
}
