package ai.nibble.cli;

import ai.nibble.InvalidInputException;
import ai.nibble.eval.task.ChoiceFormat;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;

/**
 * A task as the command line names it: {@code KIND=FILE}, or {@code KIND:LABEL=FILE} where one kind
 * is there twice.
 *
 * @param kind one of {@link #kinds}
 * @param name of the task in results: the kind, with the label if there is one
 */
record TaskOption(String kind, String name, Path file) {
  static final String PERPLEXITY = "perplexity";
  static final String GSM8K = "gsm8k";

  static List<String> kinds() {
    Stream<String> choices = ChoiceFormat.shipped().stream().map(ChoiceFormat::name);
    return Stream.of(Stream.of(PERPLEXITY), choices, Stream.of(GSM8K)).flatMap(s -> s).toList();
  }

  static TaskOption parse(String text) {
    int equals = text.indexOf('=');
    String name = equals < 0 ? text : text.substring(0, equals);
    String kind = name.replaceFirst(":.*", "");
    if (!kinds().contains(kind)) {
      throw new InvalidInputException(
          "--task '" + text + "' is of the kind '" + kind + "', expected one of " + kinds());
    }
    if (equals < 0 || equals == text.length() - 1) {
      throw new InvalidInputException(
          "--task is '" + text + "', expected " + kind + "=FILE, or " + kind + ":LABEL=FILE");
    }
    return new TaskOption(kind, name, Path.of(text.substring(equals + 1)));
  }
}
