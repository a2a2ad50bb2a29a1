package ai.nibble.datasets;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** The word lists and phrasings among the resources, read once each. */
final class Lexicon {
  private final Map<String, List<String>> words = new HashMap<>();

  /** The list of that name: words or expressions parted by commas and line ends. */
  List<String> words(String name) {
    return words.computeIfAbsent(
        name,
        key ->
            Arrays.stream(read("words/" + key + ".txt").split("[,\n]"))
                .map(String::strip)
                .filter(word -> !word.isEmpty())
                .distinct()
                .toList());
  }

  /**
   * A file of lines under headings {@code == name}; {@code #} begins a comment.
   *
   * @return the lines under each heading
   */
  static Map<String, List<String>> sections(String file) {
    Map<String, List<String>> sections = new LinkedHashMap<>();
    List<String> lines = null;
    for (String line : read(file).lines().toList()) {
      if (line.startsWith("== ")) {
        lines = new ArrayList<>();
        if (sections.put(line.substring(3).strip(), lines) != null) {
          throw new IllegalStateException(file + ": '" + line + "' comes twice");
        }
      } else if (!line.isBlank() && !line.startsWith("#")) {
        if (lines == null) {
          throw new IllegalStateException(file + ": '" + line + "' is under no heading");
        }
        lines.add(line);
      }
    }
    return sections;
  }

  private static String read(String file) {
    try (InputStream in = Lexicon.class.getResourceAsStream(file)) {
      if (in == null) {
        throw new IllegalStateException("no resource " + file);
      }
      return new String(in.readAllBytes(), StandardCharsets.UTF_8);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }
}
