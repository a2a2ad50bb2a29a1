package ai.nibble.tensor;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Map;
import java.util.StringJoiner;
import java.util.regex.Pattern;

/**
 * A CUDA C program from class-path resources, compiled for a device at its first use there. Made
 * once and kept; safe for use by several threads.
 */
public final class CudaProgram {
  /** What the name of a kernel ends in that is made for one of several dtypes. */
  private static final Pattern SUFFIX = Pattern.compile("_(f32|bf16|f16)$");

  private final String name;
  private final String source;
  private final Map<String, ComposedKernel> composed;

  private CudaProgram(String name, String source, Map<String, ComposedKernel> composed) {
    this.name = name;
    this.source = source;
    this.composed = composed;
  }

  /**
   * A program of these sources, joined in this order.
   *
   * @param owner the class beside which the resources are
   * @param resources for example {@code "types.cuh", "nf4.cu"}; the last one names the program
   * @throws IllegalArgumentException if one is missing
   */
  public static CudaProgram of(Class<?> owner, String... resources) {
    StringBuilder source = new StringBuilder();
    for (String resource : List.of(resources)) {
      // Compilers then count lines as the resource does.
      source.append("#line 1 \"").append(resource).append("\"\n").append(read(owner, resource));
      source.append('\n');
    }
    return new CudaProgram(resources[resources.length - 1], source.toString(), Map.of());
  }

  /**
   * The same program, whose kernels have composed forms for where nothing compiles them.
   *
   * @param kernels by the kernels' names; of those made for several dtypes without {@code _f32},
   *     {@code _bf16} and {@code _f16}: tensors tell their dtype
   */
  public CudaProgram composedAs(Map<String, ComposedKernel> kernels) {
    return new CudaProgram(name, source, Map.copyOf(kernels));
  }

  /** A kernel's composed form, null if it has none. */
  ComposedKernel composed(String kernel) {
    ComposedKernel own = composed.get(kernel);
    return own != null ? own : composed.get(SUFFIX.matcher(kernel).replaceFirst(""));
  }

  private static String read(Class<?> owner, String resource) {
    try (InputStream in = owner.getResourceAsStream(resource)) {
      if (in == null) {
        throw new IllegalArgumentException(
            "no resource '" + resource + "' beside " + owner.getName());
      }
      return new String(in.readAllBytes(), StandardCharsets.UTF_8);
    } catch (IOException e) {
      throw new UncheckedIOException(resource + ": cannot be read: " + e.getMessage(), e);
    }
  }

  /** Name of the last resource, for messages: {@code nf4.cu}. */
  public String name() {
    return name;
  }

  /** The whole source, with {@code #line} before each resource. */
  public String source() {
    return source;
  }

  /**
   * Queues a kernel on the current stream of the device. A grid without blocks queues nothing.
   *
   * @param kernel name of an {@code extern "C" __global__} function
   * @param arguments in the kernel's order and of its types: a {@link Tensor} on this device is
   *     passed as the address of its first element, null as a null pointer, {@link Integer}, {@link
   *     Long}, {@link Float} and {@link Double} by value
   * @throws TensorException if an argument is of another type, a tensor is closed or elsewhere, the
   *     program cannot be compiled or the kernel cannot be queued
   */
  public void launch(String kernel, Device device, Grid grid, Object... arguments) {
    for (int i = 0; i < arguments.length; i++) {
      require(kernel, device, i, arguments[i]);
    }
    if (!grid.isEmpty()) {
      KernelLaunchers.of(device).launch(this, kernel, device, grid, arguments);
    }
  }

  private static void require(String kernel, Device device, int index, Object argument) {
    if (argument instanceof Tensor tensor) {
      if (!tensor.device().equals(device)) {
        throw new TensorException(
            "kernel "
                + kernel
                + ": argument "
                + index
                + " is "
                + tensor
                + ", expected on "
                + device);
      }
    } else if (argument != null
        && !(argument instanceof Integer)
        && !(argument instanceof Long)
        && !(argument instanceof Float)
        && !(argument instanceof Double)) {
      throw new TensorException(
          "kernel "
              + kernel
              + ": argument "
              + index
              + " is a "
              + argument.getClass().getSimpleName()
              + ", expected Tensor, Integer, Long, Float, Double or null");
    }
  }

  /** What a launch was asked to do, for messages. */
  static String describe(
      CudaProgram program, String kernel, Device device, Grid grid, Object[] arguments) {
    StringJoiner list = new StringJoiner(", ", "(", ")");
    for (Object argument : arguments) {
      list.add(String.valueOf(argument));
    }
    return "kernel " + kernel + list + " of " + program + " on " + device + ", " + grid;
  }

  @Override
  public String toString() {
    return name;
  }
}
