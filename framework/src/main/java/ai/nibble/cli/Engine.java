package ai.nibble.cli;

import ai.nibble.tensor.Ops;
import ai.nibble.tensor.Tensor;
import ai.nibble.tensor.TensorException;
import ai.nibble.tensor.Torch;
import java.nio.file.Path;

/**
 * libtorch as this process has it.
 *
 * @param version empty if there is none
 * @param directory that it was loaded from, null if there is none
 * @param isOfDjl whether DJL brings it
 * @param threads of one operation on the CPU
 * @param problem why there is none, or why it does not compute; empty otherwise
 */
record Engine(String version, Path directory, boolean isOfDjl, int threads, String problem) {
  /** Loads it and lets it compute a product. */
  static Engine start() {
    boolean isOfDjl = Torch.isOfDjl();
    try {
      String version = Torch.version();
      multiply();
      return new Engine(version, Torch.directory(), isOfDjl, Torch.threads(), "");
    } catch (RuntimeException | LinkageError e) {
      return new Engine("", null, isOfDjl, 0, Failures.summary(e));
    }
  }

  private static void multiply() {
    try (Tensor a = Tensor.of(new float[] {1, 2, 3, 4}, 2, 2);
        Tensor out = Tensor.of(new float[4], 2, 2)) {
      float[] product = Ops.mm(out, a, a).toFloats();
      if (product[0] != 7 || product[1] != 10 || product[2] != 15 || product[3] != 22) {
        throw new TensorException("libtorch multiplies wrongly: " + out);
      }
    }
  }
}
