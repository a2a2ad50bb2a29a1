package ai.nibble.tensor;

import com.sun.jna.Function;
import com.sun.jna.NativeLibrary;

/** The C library's heap, in which tensors of the CPU below 32 MiB lie. */
public final class NativeHeap {
  private NativeHeap() {}

  private static final class Holder {
    static final Function TRIM = find();

    private static Function find() {
      try {
        return NativeLibrary.getInstance("c").getFunction("malloc_trim");
      } catch (UnsatisfiedLinkError e) {
        return null; // not glibc
      }
    }
  }

  /**
   * Gives pages that hold nothing back to the kernel; whoever comes to lie there pays for them
   * again. Nothing happens where the C library is not glibc.
   */
  public static void trim() {
    if (Holder.TRIM != null) {
      Holder.TRIM.invokeInt(new Object[] {0L});
    }
  }
}
