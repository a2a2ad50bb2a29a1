package ai.nibble.tensor;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.pytorch.engine.PtNDArray;
import ai.djl.pytorch.engine.PtNDManager;
import ai.djl.pytorch.jni.JniUtils;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Supplier;

/**
 * Tensors as DJL's NDArrays and back, on the same memory. DJL's JNI knows no bfloat16: operations
 * on such an array work, but it reports its dtype as unknown and must not be created or cast there.
 */
public final class NdArrays {
  private NdArrays() {}

  /** The tensor's memory as an NDArray owned by the manager. */
  public static NDArray toNdArray(Tensor tensor, NDManager manager) {
    requireDjl();
    long[] result = new long[1];
    Tensor.check(
        Libtorch.aoti_torch_new_tensor_handle(tensor.handle(), result), "new_tensor_handle");
    return new PtNDArray((PtNDManager) manager, result[0]);
  }

  /** The NDArray's memory as a tensor that the caller closes. */
  public static Tensor toTensor(NDArray array) {
    requireDjl();
    long[] result = new long[1];
    Tensor.check(
        Libtorch.aoti_torch_new_tensor_handle(((PtNDArray) array).getHandle(), result),
        "new_tensor_handle");
    return Tensor.adopt(result[0]);
  }

  /**
   * The NDArray's memory, cut off from the engine's autograd, as a tensor that the caller closes.
   */
  public static Tensor toDetachedTensor(NDArray array) {
    requireDjl();
    try (NDArray detached = JniUtils.detachGradient((PtNDArray) array)) {
      return toTensor(detached);
    }
  }

  /** A new manager for the CPU; the caller closes it. */
  public static NDManager newManager() {
    requireDjl();
    return NDManager.newBaseManager(ai.djl.Device.cpu(), "PyTorch");
  }

  /** An array on the tensor's memory that the engine's autograd tracks as a leaf. */
  public static NDArray toLeaf(Tensor tensor, NDManager manager) {
    NDArray array = toNdArray(tensor, manager);
    JniUtils.attachGradient((PtNDArray) array, true);
    return array;
  }

  /**
   * A number as a float32 scalar that lives as long as the array's manager: what a product, a
   * quotient or a power that is {@link #recording recorded} must have. DJL's {@code x.mul(2)}
   * releases the memory of its 2 at once, though backward still reads it: once the garbage
   * collector has run, gradients come out as zeros. Sums do not read theirs.
   */
  public static NDArray scalar(NDArray like, double value) {
    return like.getManager().create((float) value);
  }

  /**
   * Evaluates an expression while the engine's autograd records it (it does not by default).
   *
   * <p>Factors, divisors and exponents in it are arrays, numbers among them by {@link #scalar}.
   *
   * @param expression operations on arrays made by {@link #toLeaf}
   */
  public static <T> T recording(Supplier<T> expression) {
    requireDjl();
    int before = Libtorch.aoti_torch_grad_mode_is_enabled() & 1;
    Libtorch.aoti_torch_grad_mode_set_enabled(1);
    try {
      return expression.get();
    } finally {
      Libtorch.aoti_torch_grad_mode_set_enabled(before);
    }
  }

  /**
   * Differentiates an expression with the engine's autograd.
   *
   * @param output result of {@link #recording} operations on the leaves
   * @param gradOutput gradient of the loss by the output, of its shape
   * @param leaves arrays made by {@link #toLeaf}
   * @return one gradient a leaf, which the caller closes
   */
  public static List<Tensor> backward(NDArray output, Tensor gradOutput, List<NDArray> leaves) {
    try (NDManager manager = newManager()) {
      NDArray grad = toNdArray(gradOutput, manager);
      JniUtils.backward((PtNDArray) output, (PtNDArray) grad, false, false);
    }
    List<Tensor> gradients = new ArrayList<>(leaves.size());
    for (NDArray leaf : leaves) {
      try (NDArray gradient = JniUtils.getGradient((PtNDArray) leaf)) {
        gradients.add(toTensor(gradient));
      }
    }
    return gradients;
  }

  private static void requireDjl() {
    if (!NativeLibraries.engineIsDjl()) {
      throw new TensorException(
          "NDArrays are not available with NIBBLE_LIBTORCH: DJL's JNI fits its own libtorch only");
    }
  }
}
