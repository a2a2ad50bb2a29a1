package ai.nibble.datasets;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;

/**
 * The conversations of the pretraining text. A request is answered in plain words, by a note of its
 * details, or in plain words with a question about one detail behind it.
 */
final class ChatCorpus {
  private static final double REQUEST = 0.55;
  private static final double COPY = 0.33;
  private static final double BEFORE = 0.15;
  private static final double AFTER = 0.15;
  private static final double NOTE = 0.3;
  private static final double QUESTION = 0.2;

  private static final Map<String, String> DETAILS =
      Map.of("from", "start", "to", "goal", "task", "thing to do", "percent", "number of percent");

  private final Random random;
  private final Supply supply;
  private final PhraseBook requests;
  private final PhraseBook copies;
  private final PhraseBook smallTalk;
  private final PhraseBook details;

  ChatCorpus(Random random, Supply supply) {
    this.random = random;
    this.supply = supply;
    this.requests = new PhraseBook("corpus/requests.txt", random);
    this.copies = new PhraseBook("corpus/copy.txt", random);
    this.smallTalk = new PhraseBook("corpus/smalltalk.txt", random);
    this.details = new PhraseBook("corpus/details.txt", random);
  }

  Chat next() {
    double kind = random.nextDouble();
    if (kind < REQUEST) {
      return request();
    }
    PhraseBook book = kind < REQUEST + COPY ? copies : smallTalk;
    String subject = subject(book);
    Slots slots = new Slots(supply);
    String ask = say(book, subject + ">", slots);
    return Chat.of(ask, say(book, subject + "<", slots));
  }

  private Chat request() {
    String subject = subject(requests);
    Slots slots = new Slots(supply);
    String ask = say(requests, subject + ">", slots);
    String before = random.nextDouble() < BEFORE ? say(requests, "before>", slots) + " " : "";
    String after = random.nextDouble() < AFTER ? " " + say(requests, "after>", slots) : "";
    ask = before + ask + after;
    double variant = random.nextDouble();
    if (variant < NOTE) {
      return Chat.of(say(details, "ask", slots) + " " + ask, note(subject, slots.values()));
    }
    List<String> asked = List.copyOf(slots.values().keySet());
    String reply = say(requests, subject + "<", slots);
    if (variant < NOTE + QUESTION && !asked.isEmpty()) {
      return withQuestion(ask, reply, asked.get(random.nextInt(asked.size())), slots);
    }
    return Chat.of(ask, reply);
  }

  private Chat withQuestion(String ask, String reply, String name, Slots slots) {
    Value value = slots.value(name, name);
    slots.set("what", new Value(DETAILS.getOrDefault(name, name.replaceFirst("\\d+$", ""))));
    slots.set("answer", new Value(value.plain()));
    String question = say(details, "question", slots);
    String answer = say(details, "answer", slots);
    // Half of the time the reply does not say the detail again.
    return random.nextBoolean()
        ? Chat.of(ask, reply, question, answer)
        : Chat.of(ask + " " + question, answer);
  }

  /** The subject and each detail on a line of its own, or all in one line. */
  private String note(String subject, Map<String, Value> values) {
    List<String> lines = new ArrayList<>();
    boolean oneLine = random.nextInt(4) == 0;
    String mark = oneLine ? " = " : ": ";
    lines.add("about" + mark + subject);
    values.forEach((name, value) -> lines.add(name + mark + value.plain()));
    return String.join(oneLine ? "; " : "\n", lines);
  }

  private String subject(PhraseBook book) {
    return book.subjects().get(random.nextInt(book.subjects().size()));
  }

  private String say(PhraseBook book, String heading, Slots slots) {
    return book.pick(heading).say(random, slots).text();
  }
}
