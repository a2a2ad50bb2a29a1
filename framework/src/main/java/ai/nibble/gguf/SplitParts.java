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
 * A model that {@code llama-gguf-split} cut into parts, {@code NAME-00001-of-0000N.gguf} and so on:
 * where they lie, and that all are there.
 */
final class SplitParts {
  private static final String COUNT = "split.count";
  private static final String NUMBER = "split.no"; // from 0; file names count from 1
  private static final String TENSORS = "split.tensors.count";
  private static final int MAX_PARTS = (1 << 16) - 1;
  private static final int SHOWN = 5;
  private static final Pattern NAME = Pattern.compile("(.*)-(\\d{5})-of-(\\d{5})\\.gguf");

  private SplitParts() {}

  /** The files of the model that a file is named as a part of; else the file alone. */
  static List<Path> named(Path path) {
    Matcher name = NAME.matcher(String.valueOf(path.getFileName()));
    if (!name.matches()) {
      return List.of(path);
    }
    return IntStream.rangeClosed(1, Integer.parseInt(name.group(3)))
        .mapToObj(
            i ->
                path.resolveSibling(
                    "%s-%05d-of-%s.gguf".formatted(name.group(1), i, name.group(3))))
        .toList();
  }

  /**
   * The other parts of the model whose first part this is.
   *
   * @param path of the part that was opened
   * @return empty for a model in one file
   * @throws InvalidInputException where it is another part than the first, or one is missing
   */
  static List<Path> after(Path path, GgufMetadata metadata) {
    int count = count(metadata);
    if (count <= 1) {
      return List.of();
    }
    int part = number(metadata, count);
    List<Path> parts = named(path);
    String text = path + ": is part " + part + " of " + count + " of a split model, expected ";
    if (parts.size() != count) {
      throw new InvalidInputException(
          text
              + "a name like model-%05d-of-%05d.gguf: give all parts their names back"
                  .formatted(part, count));
    }
    List<Path> missing = parts.stream().filter(file -> !Files.exists(file)).toList();
    if (!missing.isEmpty()) {
      throw new InvalidInputException(
          text + "all parts beside each other: " + shown(missing) + " missing, get them too");
    }
    if (part != 1) {
      throw new InvalidInputException(text + "the first: give " + parts.get(0).getFileName());
    }
    return parts.subList(1, count);
  }

  /**
   * Looks whether a part says that it is the one its name says.
   *
   * @param number from 1
   */
  static void require(Path path, GgufMetadata metadata, int number, int count) {
    if (count(metadata) != count || number(metadata, count) != number) {
      throw new InvalidInputException(
          path
              + ": says it is part "
              + (metadata.contains(NUMBER) ? metadata.getLong(NUMBER) + 1 : 1)
              + " of "
              + count(metadata)
              + ", expected part "
              + number
              + " of "
              + count
              + ", as its name says; download it again");
    }
  }

  /** Looks whether the parts have together what the first says. */
  static void requireTensors(Path path, GgufMetadata metadata, int found) {
    if (metadata.contains(TENSORS) && metadata.getLong(TENSORS) != found) {
      throw new InvalidInputException(
          path
              + ": the parts of the model have "
              + found
              + " tensors, expected '"
              + TENSORS
              + "', "
              + metadata.getLong(TENSORS)
              + ": get all parts of one model");
    }
  }

  private static int count(GgufMetadata metadata) {
    return metadata.contains(COUNT) ? metadata.getInt(COUNT, 0, MAX_PARTS) : 1;
  }

  /** From 1. */
  private static int number(GgufMetadata metadata, int count) {
    return metadata.contains(NUMBER) ? metadata.getInt(NUMBER, 0, count - 1) + 1 : 1;
  }

  private static String shown(List<Path> missing) {
    String names =
        missing.stream()
            .limit(SHOWN)
            .map(file -> file.getFileName().toString())
            .collect(Collectors.joining(", "));
    return missing.size() > SHOWN
        ? names + " and " + (missing.size() - SHOWN) + " more are"
        : names + (missing.size() == 1 ? " is" : " are");
  }
}
