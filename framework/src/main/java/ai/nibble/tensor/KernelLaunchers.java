package ai.nibble.tensor;

import java.util.EnumMap;
import java.util.Map;

/**
 * Which launcher serves which kind of device. CUDA devices have the driver, or where nothing
 * compiles kernels what they are composed of; another launcher, as for kernels that were compiled
 * for the host, can be put in force for the whole process and taken away again.
 */
public final class KernelLaunchers {
  private static final Map<Device.Type, KernelLauncher> INSTALLED =
      new EnumMap<>(Device.Type.class);

  private KernelLaunchers() {}

  /** A launcher in force; closing it restores the state before. */
  public interface Installation extends AutoCloseable {
    @Override
    void close();
  }

  /**
   * Puts a launcher in force for a kind of device, in all threads.
   *
   * @throws IllegalStateException if another is installed for it
   */
  public static Installation install(Device.Type type, KernelLauncher launcher) {
    synchronized (INSTALLED) {
      if (INSTALLED.putIfAbsent(type, launcher) != null) {
        throw new IllegalStateException("a kernel launcher is installed for " + type + " already");
      }
    }
    return () -> {
      synchronized (INSTALLED) {
        INSTALLED.remove(type, launcher);
      }
    };
  }

  /**
   * Whether kernels can run there, compiled or composed: on a CUDA device that libtorch computes
   * on, or where a launcher is installed.
   */
  public static boolean serves(Device device) {
    return find(device) != null;
  }

  /** Whether kernels are composed of libtorch's operations there, as nothing compiles them. */
  public static boolean composes(Device device) {
    return find(device) instanceof ComposedLauncher;
  }

  /**
   * The launcher of a device.
   *
   * @throws TensorException if none serves it
   */
  static KernelLauncher of(Device device) {
    KernelLauncher launcher = find(device);
    if (launcher == null) {
      throw new TensorException(
          "no CUDA kernel can run on " + device + ": 'nibble doctor' says what is missing");
    }
    return launcher;
  }

  private static KernelLauncher find(Device device) {
    synchronized (INSTALLED) {
      KernelLauncher installed = INSTALLED.get(device.type());
      if (installed != null) {
        return installed;
      }
    }
    return device.isCpu() ? null : CudaProcess.launcher();
  }
}
