package ai.nibble.gguf;

import ai.nibble.InvalidInputException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

/**
 * A model that {@code llama-gguf-split} cut into parts: refused, with the name of the part that was
 * given and of those that are missing, and how to join them.
 */
final class SplitParts {
  private static final String COUNT = "split.count";
  private static final String NUMBER = "split.no"; // from 0; file names count from 1
  private static final int MAX_PARTS = (1 << 16) - 1;
  private static final int SHOWN = 5;
  private static final Pattern NAME = Pattern.compile("(.*)-\\d{5}-of-(\\d{5})\\.gguf");

  private SplitParts() {}

  static void refuse(Path path, GgufMetadata metadata) {
    if (!metadata.contains(COUNT)) {
      return;
    }
    int count = metadata.getInt(COUNT, 0, MAX_PARTS);
    if (count <= 1) {
      return;
    }
    int part = metadata.contains(NUMBER) ? metadata.getInt(NUMBER, 0, count - 1) + 1 : 1;
    String text = path + ": is part " + part + " of " + count + " of a split model, expected whole";
    Matcher name = NAME.matcher(path.getFileName().toString());
    if (!name.matches() || Integer.parseInt(name.group(2)) != count) {
      throw new InvalidInputException(
          text + "; get all parts and join them with 'llama-gguf-split --merge'");
    }
    List<String> missing =
        IntStream.rangeClosed(1, count)
            .mapToObj(i -> "%s-%05d-of-%05d.gguf".formatted(name.group(1), i, count))
            .filter(file -> !Files.exists(path.resolveSibling(file)))
            .toList();
    String first = "%s-%05d-of-%05d.gguf".formatted(name.group(1), 1, count);
    String join = "'llama-gguf-split --merge " + first + " " + name.group(1) + ".gguf'";
    throw new InvalidInputException(
        missing.isEmpty()
            ? text + "; all parts are here, join them with " + join
            : text + "; " + shown(missing) + " missing here: get them, then " + join);
  }

  private static String shown(List<String> missing) {
    String names = missing.stream().limit(SHOWN).collect(Collectors.joining(", "));
    return missing.size() > SHOWN
        ? names + " and " + (missing.size() - SHOWN) + " more are"
        : names + (missing.size() == 1 ? " is" : " are");
  }
}
