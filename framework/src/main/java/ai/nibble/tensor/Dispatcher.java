package ai.nibble.tensor;

import java.util.Arrays;

/**
 * Calls aten operators by name; arguments are tensors, longs, doubles, booleans, dtypes and null
 * for an optional one that is left out.
 */
final class Dispatcher {
  private Dispatcher() {}

  /**
   * Calls an operator whose single result aliases its {@code out} argument, and drops the extra
   * handle.
   */
  static void call(String op, String overload, Object... arguments) {
    device(op, arguments);
    long[] stack = run(op, overload, arguments.length, arguments);
    Tensor.check(Libtorch.aoti_torch_delete_tensor_object(stack[0]), "delete_tensor_object");
  }

  /** Calls an operator that returns new tensors, which are the caller's. */
  static Tensor[] results(int count, String op, String overload, Object... arguments) {
    long[] stack = run(op, overload, Math.max(count, arguments.length), arguments);
    Tensor[] results = new Tensor[count];
    for (int i = 0; i < count; i++) {
      results[i] = Tensor.adopt(stack[i], device(op, arguments));
    }
    return results;
  }

  /**
   * The one device that all tensors among the arguments are on, but for numbers on the CPU: tensors
   * without dimensions, which go with any.
   *
   * @throws TensorException if they are on several
   */
  private static Device device(String op, Object... arguments) {
    Device device = null;
    for (Object argument : arguments) {
      if (argument instanceof Tensor tensor && !isNumber(tensor)) {
        if (device != null && !device.equals(tensor.device())) {
          throw new TensorException(
              op + ": operands on several devices: " + Arrays.toString(arguments));
        }
        device = tensor.device();
      }
    }
    return device == null ? Device.CPU : device;
  }

  private static boolean isNumber(Tensor tensor) {
    return tensor.dim() == 0 && tensor.device().equals(Device.CPU);
  }

  /** The stack after the call: the results from slot 0 on. */
  private static long[] run(String op, String overload, int slots, Object... arguments) {
    long[] stack = new long[slots];
    int filled = 0;
    try {
      for (; filled < arguments.length; filled++) {
        stack[filled] = slot(arguments[filled]);
      }
    } catch (RuntimeException e) {
      for (int i = 0; i < filled; i++) {
        if (arguments[i] instanceof Tensor) {
          Libtorch.aoti_torch_delete_tensor_object(stack[i]);
        }
      }
      throw e;
    }
    if (Libtorch.aoti_torch_call_dispatcher(op, overload, stack) != 0) {
      throw Tensor.failure(op + "." + overload, arguments);
    }
    return stack;
  }

  /** The dispatcher consumes handles, so a tensor goes in under a fresh one. */
  private static long slot(Object argument) {
    if (argument instanceof Tensor tensor) {
      long[] result = new long[1];
      Tensor.check(
          Libtorch.aoti_torch_new_tensor_handle(tensor.handle(), result), "new_tensor_handle");
      return result[0];
    }
    if (argument == null) {
      return 0;
    }
    if (argument instanceof Long value) {
      return value;
    }
    if (argument instanceof Double value) {
      return Double.doubleToRawLongBits(value);
    }
    if (argument instanceof Boolean value) {
      return value ? 1 : 0;
    }
    if (argument instanceof DType value) {
      return value.scalarType();
    }
    throw new IllegalArgumentException("no slot for " + argument);
  }
}
