package ai.nibble.cli;

import ai.nibble.InvalidInputException;
import ai.nibble.generate.AnswerStream;
import ai.nibble.generate.Completion;
import ai.nibble.generate.FinishReason;
import ai.nibble.generate.Session;
import ai.nibble.lora.AdapterSet;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Optional;

/** A conversation with a model: turns are answered, and lines that begin with / are commands. */
final class Chat {
  private static final String HELP =
      """
      /reset         forgets what was said
      /system TEXT   sets the system turn; without TEXT leaves it out
      /adapter NAME  switches to an adapter; off: the base alone; without NAME lists them
      /save FILE     writes the conversation as a line of JSON, a row to train on
      /help          shows this
      /quit          ends, as Ctrl-D does
      A line that ends in \\ goes on in the next; //TEXT says /TEXT. Ctrl-C cancels an answer.""";

  /** The exit code of a program that Ctrl-C ended: 128 and the signal's number. */
  private static final int INTERRUPTED = 130;

  private final ChatRequest request;
  private final Terminal terminal;
  private final ModelFiles files;
  private final LoadedModel loaded;
  private final Decoding decoding;
  private final Session session;
  private final Conversation conversation;
  private final Interrupts interrupts;

  private Chat(
      ChatRequest request,
      Terminal terminal,
      ModelFiles files,
      LoadedModel loaded,
      Decoding decoding,
      Session session,
      Interrupts interrupts) {
    this.request = request;
    this.terminal = terminal;
    this.files = files;
    this.loaded = loaded;
    this.decoding = decoding;
    this.session = session;
    this.conversation = new Conversation(request.system());
    this.interrupts = interrupts;
  }

  /**
   * Loads what is asked for and talks until the input ends.
   *
   * @throws InvalidInputException for what the files show
   */
  static void run(ChatRequest request, Terminal terminal) {
    try (ModelFiles files =
        new ModelFiles(request.model(), true, line -> terminal.say("note: " + line))) {
      Decoding decoding = files.decoding(request.sampling());
      terminal.say("note: " + decoding.description());
      try (LoadedModel loaded = files.load();
          Session session = new Session(loaded.generator());
          Interrupts interrupts =
              new Interrupts(
                  () -> terminal.interject("(Ctrl-C again ends the chat; so does Ctrl-D)"),
                  () -> System.exit(INTERRUPTED))) {
        interrupts.listen();
        new Chat(request, terminal, files, loaded, decoding, session, interrupts).talk();
      }
    }
  }

  private void talk() {
    if (terminal.isInteractive()) {
      terminal.say("/help lists commands; Ctrl-D ends");
    }
    boolean goesOn = true;
    while (goesOn) {
      Optional<String> turn = terminal.turn();
      interrupts.idle();
      goesOn = turn.isPresent() && take(turn.get());
    }
  }

  /** Answers a turn or obeys a command; false where the chat is over. */
  private boolean take(String turn) {
    if (turn.isBlank()) {
      return true;
    }
    try {
      if (turn.startsWith("//")) {
        return answer(turn.substring(1));
      }
      return turn.startsWith("/") ? obey(turn.strip()) : answer(turn);
    } catch (InvalidInputException e) {
      e.problems().forEach(problem -> terminal.say("error: " + problem));
      return true;
    }
  }

  private boolean obey(String line) {
    String[] parts = line.split("\\s+", 2);
    String rest = parts.length == 1 ? "" : parts[1];
    switch (parts[0]) {
      case "/help" -> terminal.say(HELP);
      case "/reset" -> {
        conversation.clear();
        session.clear();
        terminal.say("note: the conversation begins anew");
      }
      case "/system" -> {
        conversation.system(rest.isEmpty() ? Optional.empty() : Optional.of(rest));
        terminal.say("note: " + (rest.isEmpty() ? "no system turn" : "the system turn is set"));
      }
      case "/adapter" -> selectAdapter(rest);
      case "/save" -> save(rest);
      case "/quit", "/exit", "/bye" -> {
        return false;
      }
      default ->
          throw new InvalidInputException(
              "no command '" + parts[0] + "': /help lists them; //TEXT says /TEXT");
    }
    return true;
  }

  private void selectAdapter(String name) {
    AdapterSet adapters = loaded.adapters();
    if (adapters.names().isEmpty()) {
      throw new InvalidInputException("no adapter was loaded: start with --adapter [NAME=]DIR");
    }
    if (!name.isEmpty()) {
      loaded.select(name);
    }
    terminal.say("note: adapter " + adapters.active() + ", of " + adapters.names());
  }

  private void save(String name) {
    if (name.isEmpty()) {
      throw new InvalidInputException("/save names no file, expected /save FILE");
    }
    if (conversation.isEmpty()) {
      throw new InvalidInputException("/save: nothing was said yet");
    }
    try {
      conversation.save(Path.of(name));
    } catch (InvalidPathException e) {
      throw new InvalidInputException("/save: '" + name + "' is no path: " + e.getReason(), e);
    }
    terminal.say("note: written to " + name);
  }

  /** Answers; what the model cannot answer is not kept. False where nobody reads the answer. */
  private boolean answer(String text) {
    String adapter = loaded.adapters().active();
    conversation.add("user", text);
    StringBuilder said = new StringBuilder();
    boolean heard = true;
    long start = System.nanoTime();
    Completion completion = null;
    try (AnswerStream answer = begin(adapter)) {
      interrupts.begin(answer::cancel);
      while (answer.hasNext()) {
        String piece = answer.next();
        said.append(piece);
        heard = terminal.print(piece);
        if (!heard) {
          answer.cancel();
        }
      }
      completion = answer.completion();
    } finally {
      interrupts.idle();
      if (said.isEmpty()
          && (completion == null || completion.finishReason() != FinishReason.STOP)) {
        conversation.removeLast();
      } else {
        conversation.add("assistant", said.toString());
      }
    }
    terminal.endLine();
    report(completion, start);
    return heard;
  }

  private AnswerStream begin(String adapter) {
    int[] prompt;
    try {
      prompt = files.encoder(adapter).encode(conversation.messages(), List.of());
    } catch (InvalidInputException e) {
      throw new InvalidInputException(e.getMessage() + "; /reset begins a new conversation", e);
    }
    return new AnswerStream(
        session.stream(prompt, files.settings(decoding, adapter)),
        files.tokenizer(),
        decoding.stops());
  }

  private void report(Completion completion, long start) {
    int tokens = completion.tokens().length;
    double seconds = (System.nanoTime() - start) / 1e9;
    String reason = Generation.reason(completion.finishReason());
    if (request.verbose()) {
      terminal.say(
          String.format(
              Locale.ROOT,
              "%d tokens in %.1f s, %.1f tokens/s, %s; %d tokens of the prompt were cached",
              tokens,
              seconds,
              tokens / seconds,
              reason,
              session.reused()));
    } else if (completion.finishReason() != FinishReason.STOP) {
      terminal.say("note: " + reason);
    }
  }
}
