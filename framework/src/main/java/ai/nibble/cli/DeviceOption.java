package ai.nibble.cli;

import ai.nibble.recipe.Recipe.DeviceMap;
import ai.nibble.tensor.Device;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
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
          "auto (the first NVIDIA GPU that can be used, else the CPU), cpu or cuda; default:"
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
    return choice().device(NAME);
  }

  /** What was chosen; a usage error where there is no such choice. */
  DeviceMap choice() {
    for (DeviceMap map : DeviceMap.values()) {
      if (name(map).equals(device)) {
        return map;
      }
    }
    List<String> names = Arrays.stream(DeviceMap.values()).map(DeviceOption::name).toList();
    throw new ParameterException(
        spec.commandLine(), NAME + " is '" + device + "', expected one of " + names);
  }

  private static String name(DeviceMap map) {
    return map.name().toLowerCase(Locale.ROOT);
  }
}
