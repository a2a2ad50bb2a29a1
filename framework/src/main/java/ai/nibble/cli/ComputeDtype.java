package ai.nibble.cli;

import ai.nibble.model.LoadOptions;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Device;
import java.util.Optional;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.ParameterException;

/** What {@code --compute-dtype} says. */
final class ComputeDtype {
  private ComputeDtype() {}

  /**
   * @param given null where it was not given
   * @param device that {@code auto} is to suit
   * @param spec the command's, for a usage error
   */
  static Optional<DType> parse(String given, Device device, CommandSpec spec) {
    return "auto".equals(given)
        ? Optional.of(LoadOptions.autoComputeDtype(device))
        : parse("--compute-dtype", given, "auto, ", spec);
  }

  /**
   * What an option says that takes a dtype's name alone.
   *
   * @param option its name, for a usage error
   * @param given null where it was not given
   */
  static Optional<DType> parse(String option, String given, CommandSpec spec) {
    return parse(option, given, "", spec);
  }

  private static Optional<DType> parse(
      String option, String given, String others, CommandSpec spec) {
    if (given == null) {
      return Optional.empty();
    }
    return switch (given) {
      case "bfloat16" -> Optional.of(DType.BFLOAT16);
      case "float16" -> Optional.of(DType.FLOAT16);
      case "float32" -> Optional.of(DType.FLOAT32);
      default ->
          throw new ParameterException(
              spec.commandLine(),
              option
                  + " is '"
                  + given
                  + "', expected one of ["
                  + others
                  + "bfloat16, float16, float32]");
    };
  }
}
