package ai.nibble.cli;

import java.util.regex.Matcher;
import java.util.regex.Pattern;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.ParameterException;

/** The option {@code --max-shard-size}: most bytes of a file of weights. */
final class ShardSize {
  private static final Pattern SIZE =
      Pattern.compile("(\\d{1,9})(MB|GB)", Pattern.CASE_INSENSITIVE);

  private ShardSize() {}

  /**
   * @param text such as 500MB
   * @param spec the command, for the message
   * @throws ParameterException if it is no size
   */
  static long parse(String text, CommandSpec spec) {
    Matcher size = SIZE.matcher(text);
    if (!size.matches() || size.group(1).matches("0+")) {
      throw new ParameterException(
          spec.commandLine(),
          "--max-shard-size is '" + text + "', expected a number and MB or GB, such as 5GB");
    }
    return Long.parseLong(size.group(1))
        * (size.group(2).equalsIgnoreCase("GB") ? 1_000_000_000L : 1_000_000);
  }
}
