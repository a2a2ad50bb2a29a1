package ai.nibble.datasets;

import java.util.List;
import java.util.Random;
import java.util.stream.LongStream;
import java.util.stream.Stream;

/**
 * The pretraining text: stories, notes and talk, in which names, numbers and times come up again
 * and again, so that a model learns to copy what it has never seen. It holds none of the requests
 * and none of the answers of {@link CommandSet}.
 */
final class Corpus {
  /** Rows by default: 40 MB. */
  static final long ROWS = 250_000;

  private static final double TEXT = 0.3;
  // Most values are made of syllables: the model shall copy them, not know them.
  private static final double MADE = 0.7;

  private static final List<String> TEXTS =
      List.of("story", "description", "notes", "dialogue", "copies", "copies", "copies", "records");

  private Corpus() {}

  /** How many of so many rows are plain text. */
  static long textRows(long rows) {
    return (long) (rows * TEXT);
  }

  /** Plain text, row by row. */
  static Stream<String> text(long seed, long rows) {
    Random random = new Random(seed);
    Supply supply = supply(random);
    PhraseBook book = new PhraseBook("corpus/text.txt", random);
    return LongStream.range(0, rows)
        .mapToObj(
            i -> {
              String section = TEXTS.get(random.nextInt(TEXTS.size()));
              return book.pick(section).say(random, new Slots(supply)).text();
            });
  }

  /** Conversations, row by row. */
  static Stream<Chat> chat(long seed, long rows) {
    Random random = new Random(~seed);
    ChatCorpus corpus = new ChatCorpus(random, supply(random));
    return LongStream.range(0, rows).mapToObj(i -> corpus.next());
  }

  private static Supply supply(Random random) {
    return new Supply(random, Split.ALL, new Lexicon(), MADE);
  }
}
