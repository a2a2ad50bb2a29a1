package ai.nibble.tensor;

import java.nio.charset.StandardCharsets;

/** Compiles a program to the text of what it was asked for, and counts. */
final class FakeCompiler implements KernelCompiler {
  String identity = "fake 1";
  int compiled;

  @Override
  public String identity() {
    return identity;
  }

  @Override
  public String target(int capability) {
    return "sm_" + capability;
  }

  @Override
  public byte[] compile(CudaProgram program, String target) {
    compiled++;
    return (identity + " " + target + " " + program).getBytes(StandardCharsets.UTF_8);
  }
}
