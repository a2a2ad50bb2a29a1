package ai.nibble.cli;

import ai.nibble.model.LoadOptions;
import ai.nibble.recipe.DeviceMap;
import ai.nibble.tensor.Device;
import java.util.ArrayList;
import java.util.List;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/** The option that says where a model is computed. */
final class DeviceOption {
  static final String NAME = "--device";

  @Spec(Spec.Target.MIXEE)
  private CommandSpec spec;

  @Option(
      names = NAME,
      paramLabel = "DEVICE",
      description =
          "auto (the first NVIDIA GPU that can be used and has the room, else all GPUs in their order,"
              + " then the CPU), cpu, cuda or cuda:1; default: ${DEFAULT-VALUE}.")
  private String device = "auto";

  /** What was given, for another process. */
  String given() {
    return device;
  }

  /**
   * The device.
   *
   * @throws ai.nibble.InvalidInputException if it is not there
   */
  Device device() {
    DeviceMap choice = choice();
    choice.requireDevices(NAME, key -> key);
    return choice.first();
  }

  /**
   * The devices that a model may be placed over, in their order: the one that was named, or all
   * that there are.
   *
   * @throws ai.nibble.InvalidInputException if it is not there
   */
  List<Device> devices() {
    if (!choice().isAuto()) {
      return List.of(device());
    }
    List<Device> devices = new ArrayList<>(LoadOptions.gpus());
    devices.add(Device.CPU);
    return devices;
  }

  /** What was chosen; a usage error where there is no such choice. */
  DeviceMap choice() {
    return DeviceMap.parse(device)
        .orElseThrow(
            () ->
                new ParameterException(
                    spec.commandLine(),
                    NAME + " is '" + device + "', expected one of [auto, cpu, cuda, cuda:N]"));
  }
}
