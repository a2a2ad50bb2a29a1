package ai.nibble.cli;

import ai.nibble.Machine;
import ai.nibble.tensor.CudaReport;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/**
 * What is missing on a machine, found from what is there.
 *
 * @param machine the machine
 * @param engine its libtorch
 * @param cuda its CUDA
 * @param kernelProblems what running a kernel ended in, a text for each GPU that libtorch computes
 *     on and that kernels were tried on; empty texts where they ran
 */
record Checkup(Machine machine, Engine engine, CudaReport cuda, List<String> kernelProblems) {
  /**
   * Something that is missing.
   *
   * @param remedy what to do
   * @param blocks whether nothing can be trained without it
   */
  record Missing(String what, String remedy, boolean blocks) {}

  /** Whether training can run, be it on the CPU. */
  boolean canTrain() {
    return missing().stream().noneMatch(Missing::blocks);
  }

  /** All that is missing; nothing on a machine without a GPU whose libtorch computes. */
  List<Missing> missing() {
    List<Missing> result = new ArrayList<>();
    if (!engine.problem().isEmpty()) {
      String remedy =
          engine.isOfDjl()
              ? "make DJL_CACHE_DIR (or ~/.djl.ai) writable, or name a libtorch by NIBBLE_LIBTORCH"
              : "name the directory of another libtorch by NIBBLE_LIBTORCH, or unset it";
      result.add(new Missing("libtorch: " + engine.problem(), remedy, true));
    }
    if (cuda.gpus().isEmpty()) {
      addDriver(result);
    } else if (engine.problem().isEmpty()) {
      addGpu(result);
    }
    if (cuda.nvrtcMistaken()) {
      result.add(optional(cuda.nvrtcProblem(), "correct NIBBLE_NVRTC, or unset it"));
    }
    return result;
  }

  private void addDriver(List<Missing> result) {
    if (machine.hasNvidiaGpu() || !machine.nvidiaDriver().isEmpty()) {
      result.add(
          optional(
              "an NVIDIA GPU is in this machine, but not for this process: " + cuda.driverProblem(),
              "install NVIDIA's driver; start a container with the GPU (docker run --gpus all);"
                  + " look at CUDA_VISIBLE_DEVICES"));
    }
  }

  private void addGpu(List<Missing> result) {
    if (cuda.libtorchDevices() == 0) {
      result.add(
          optional(
              "libtorch does not use the GPU: " + cuda.libtorchProblem(),
              "NIBBLE_LIBTORCH=DIR of a PyTorch for CUDA "
                  + cuda.cuda()
                  + " or an earlier one (torch/lib of its Python installation), or"
                  + " PYTORCH_VERSION=2.7.1 PYTORCH_FLAVOR=cu128, with which DJL downloads one"));
      return;
    }
    if (cuda.nvrtc().isEmpty() && !cuda.nvrtcMistaken()) {
      result.add(
          optional(
              "no CUDA kernels, so training is slower: " + cuda.nvrtcProblem(),
              "pip install nvidia-cuda-nvrtc-cu12 (nvidia-cuda-nvrtc for CUDA 13) into the"
                  + " installation that libtorch is of, or NIBBLE_NVRTC=FILE"));
    }
    for (String problem : kernelProblems) {
      if (!problem.isEmpty()) {
        result.add(
            optional(
                "kernels do not run: " + problem,
                "take an NVRTC of the driver's CUDA "
                    + cuda.cuda()
                    + " or an earlier one, by NIBBLE_NVRTC"));
      }
    }
    if (!isWritable(cuda.kernelCache())) {
      result.add(
          optional(
              "compiled kernels cannot be kept in " + cuda.kernelCache(),
              "make it writable, or set XDG_CACHE_HOME"));
    }
  }

  private static Missing optional(String what, String remedy) {
    return new Missing(what, remedy, false);
  }

  /** Whether a directory can be written, or made. */
  private static boolean isWritable(Path directory) {
    Path existing = directory;
    while (existing != null && !Files.exists(existing)) {
      existing = existing.getParent();
    }
    return existing != null && Files.isDirectory(existing) && Files.isWritable(existing);
  }
}
