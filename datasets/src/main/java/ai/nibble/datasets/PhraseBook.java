package ai.nibble.datasets;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;

/** The phrases of a resource file by heading, parsed once. */
final class PhraseBook {
  private final Map<String, List<Phrase>> phrases = new LinkedHashMap<>();
  private final List<String> subjects = new ArrayList<>();
  private final Random random;

  /**
   * @param file where a line begins with {@code "> "} or {@code "< "}, it is a request or a reply,
   *     kept under {@code heading>} and {@code heading<}
   */
  PhraseBook(String file, Random random) {
    this.random = random;
    Lexicon.sections(file)
        .forEach(
            (heading, lines) -> {
              for (String line : lines) {
                boolean turn = line.startsWith("> ") || line.startsWith("< ");
                phrases
                    .computeIfAbsent(
                        turn ? heading + line.charAt(0) : heading, h -> new ArrayList<>())
                    .add(Phrase.parse(turn ? line.substring(2) : line));
              }
              if (phrases.containsKey(heading + "<")) {
                subjects.add(heading);
              }
            });
  }

  /** The headings that have replies. */
  List<String> subjects() {
    return subjects;
  }

  Phrase pick(String heading) {
    List<Phrase> choices = phrases.get(heading);
    if (choices == null) {
      throw new IllegalStateException(
          "no phrases under '" + heading + "', only " + phrases.keySet());
    }
    return choices.get(random.nextInt(choices.size()));
  }
}
