package ai.nibble.cli;

import ai.nibble.Machine;
import ai.nibble.cuda.Probe;
import ai.nibble.generate.ContainerMemory;
import ai.nibble.tensor.CudaReport;
import ai.nibble.tensor.Device;
import ai.nibble.tensor.KernelLaunchers;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.SerializationFeature;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** {@code nibble doctor}. */
@Command(
    name = "doctor",
    description = "Says what Nibble finds on this machine, what is missing, and what to do.",
    sortOptions = false,
    footer = {
      "",
      "Exit code: 0 training can run, on a GPU or the CPU; 1 it cannot.",
      "Example:",
      "  nibble doctor --json"
    })
final class DoctorCommand implements Callable<Integer> {
  @Spec private CommandSpec spec;
  @Mixin private CommonOptions common;

  @Option(names = "--json", description = "One JSON object instead of text.")
  private boolean json;

  @Override
  public Integer call() throws JsonProcessingException {
    Engine engine = Engine.start();
    CudaReport cuda = CudaReport.of();
    Machine machine = Machine.read(Path.of("/"));
    Checkup checkup = new Checkup(machine, engine, cuda, runKernels(cuda));
    CheckupText text = new CheckupText(checkup, CudaReport::freeBytes, containerBytes());
    PrintWriter out = spec.commandLine().getOut();
    if (json) {
      ObjectMapper mapper = new ObjectMapper().enable(SerializationFeature.INDENT_OUTPUT);
      out.println(mapper.writeValueAsString(text.json()));
    } else {
      text.print(out);
    }
    out.flush();
    return checkup.canTrain() ? 0 : Failures.FAILED;
  }

  /** Runs a kernel on each GPU of libtorch's, compiled or composed. */
  private static List<String> runKernels(CudaReport cuda) {
    List<String> problems = new ArrayList<>();
    for (int i = 0; i < cuda.libtorchDevices() && !cuda.nvrtcMistaken(); i++) {
      try {
        Device device = new Device(Device.Type.CUDA, i);
        if (KernelLaunchers.serves(device)) {
          Probe.run(device);
        }
        problems.add("");
      } catch (RuntimeException | LinkageError e) {
        problems.add(Failures.summary(e));
      }
    }
    return problems;
  }

  private static long containerBytes() {
    try {
      return ContainerMemory.free();
    } catch (IOException e) {
      return ContainerMemory.UNLIMITED; // as good as no limit: it is only told
    }
  }
}
