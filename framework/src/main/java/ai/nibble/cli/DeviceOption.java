package ai.nibble.cli;

import ai.nibble.recipe.DeviceMap;
import ai.nibble.tensor.Device;
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
          "auto (the first NVIDIA GPU that can be used, else the CPU), cpu, cuda or cuda:1; default:"
              + " ${DEFAULT-VALUE}.")
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
