package ai.nibble.tensor;

import com.sun.jna.Function;
import java.util.function.IntSupplier;

/**
 * libtorch's switch for algorithms that give the same bits every time. It is one for the process,
 * and while it is on new memory is filled and products by cuBLAS want a setting of the environment:
 * so it is on during single calls that have such an algorithm beside a faster one.
 */
final class Determinism {
  private static final Function SET =
      NativeLibraries.libtorch().getFunction("_ZN2at7Context26setDeterministicAlgorithmsEbb");
  private static final Function GET =
      NativeLibraries.libtorch().getFunction("_ZNK2at7Context23deterministicAlgorithmsEv");
  private static final long CONTEXT = Torch.context();

  private Determinism() {}

  /** Makes a call with the switch on. */
  static synchronized int during(IntSupplier call) {
    boolean before = isOn();
    set(true);
    try {
      return call.getAsInt();
    } finally {
      set(before);
    }
  }

  static boolean isOn() {
    // a C++ bool is the low byte
    return (byte) GET.invokeInt(new Object[] {CONTEXT}) != 0;
  }

  private static void set(boolean on) {
    SET.invokeVoid(new Object[] {CONTEXT, on ? 1 : 0, 0});
  }
}
