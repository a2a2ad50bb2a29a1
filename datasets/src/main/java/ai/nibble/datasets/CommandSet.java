package ai.nibble.datasets;

import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.stream.Stream;

/**
 * Requests and the function calls that answer them. The training and the test part share neither a
 * way to say something nor a value that is copied out of a request.
 */
final class CommandSet {
  static final int TRAIN_ROWS = 4500;
  static final int TEST_ROWS = 200;

  private static final double BEFORE = 0.15;
  private static final double AFTER = 0.15;
  // Half of the names in the real world are known to nobody: neither may the model count on
  // knowing.
  private static final double MADE = 0.5;
  // Between the parts' seeds: numbers and days are drawn anew.
  private static final long TEST_SEED = 1_000_003;

  private final Random random;
  private final Supply supply;
  private final Map<String, List<String>> phrasings;

  private CommandSet(Split split, long seed) {
    this.random = new Random(seed);
    this.supply = new Supply(random, split, new Lexicon(), MADE);
    this.phrasings =
        Lexicon.sections(split == Split.TRAIN ? "commands/train.txt" : "commands/test.txt");
  }

  /**
   * A row.
   *
   * @param function that is called
   * @param skeleton which way it was said
   * @param values by argument
   * @param chat request and answer
   */
  record Row(String function, String skeleton, Map<String, Value> values, Chat chat) {}

  static List<Row> train(long seed) {
    return new CommandSet(Split.TRAIN, seed).rows(TRAIN_ROWS);
  }

  static List<Row> test(long seed) {
    return new CommandSet(Split.TEST, seed + TEST_SEED).rows(TEST_ROWS);
  }

  /** Each function in turn, no request twice. */
  private List<Row> rows(int count) {
    List<CommandFunction> functions = CommandFunction.all();
    Set<String> seen = new HashSet<>();
    return Stream.iterate(0, i -> i + 1)
        .map(i -> row(functions.get(i % functions.size())))
        .filter(row -> seen.add(row.chat().turns().get(0)))
        .limit(count)
        .toList();
  }

  private Row row(CommandFunction function) {
    Slots slots = new Slots(supply);
    Phrase.Said said = Phrase.parse(pick(function.name())).say(random, slots);
    String request = random.nextDouble() < BEFORE ? behind(pick("before"), said) : said.text();
    String after = random.nextDouble() < AFTER ? " " + pick("after") : "";
    Chat chat = Chat.of(request + after, function.call(slots.values()));
    return new Row(function.name(), said.skeleton(), Map.copyOf(slots.values()), chat);
  }

  /** After a comma the sentence goes on small, but for "I" and for a value at its beginning. */
  static String behind(String opening, Phrase.Said said) {
    String text = said.text();
    boolean asItIs =
        !opening.endsWith(",") || said.skeleton().startsWith("{") || text.matches("I\\b.*");
    String rest = asItIs ? text : Character.toLowerCase(text.charAt(0)) + text.substring(1);
    return opening + " " + rest;
  }

  private String pick(String section) {
    List<String> lines = phrasings.get(section);
    return lines.get(random.nextInt(lines.size()));
  }
}
