package ai.nibble.tensor;

/** Compiles CUDA C for a GPU. */
interface KernelCompiler {
  /**
   * All that decides the code besides the source and the target: the compiler, its version and its
   * options.
   */
  String identity();

  /**
   * What to compile to for a GPU.
   *
   * @param capability its compute capability, 10 major + minor
   * @return {@code sm_90} for machine code, or {@code compute_120} for PTX, which the driver
   *     translates for a GPU that the compiler does not know yet
   * @throws TensorException if there is neither
   */
  String target(int capability);

  /**
   * The compiled program, as {@code cuModuleLoadData} takes it.
   *
   * @throws TensorException with the compiler's messages if the program is not valid
   */
  byte[] compile(CudaProgram program, String target);
}
