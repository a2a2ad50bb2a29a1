package ai.nibble.data;

import ai.nibble.InvalidInputException;
import ai.nibble.data.jinja.Rendering;
import ai.nibble.data.jinja.Rendering.Run;
import ai.nibble.data.jinja.Rendering.Span;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.function.Function;

/**
 * Finds the turn of each message in a rendered conversation.
 *
 * <p>The rendering says which characters each message contributed, wherever the template put them
 * and whatever it did to them. What stands around them is told from the renderings of the messages
 * before (with a generation prompt: what the model is given) and of those up to this one (what it
 * closes the turn with). These need not be prefixes of the whole: templates rewrite turns of the
 * past, Qwen3's drops their reasoning.
 */
final class RenderedTurns {
  private final ChatTemplate template;
  private final Sample.Conversation conversation;
  private final Rendering rendering;
  private final Function<Rendering, List<ControlTokens.Match>> written;
  private final List<ControlTokens.Match> controls;
  private final int eosId;

  /**
   * @param written finds the control tokens that the template wrote, in order
   * @param eosId −1 where there is none
   */
  RenderedTurns(
      ChatTemplate template,
      Sample.Conversation conversation,
      Rendering rendering,
      Function<Rendering, List<ControlTokens.Match>> written,
      int eosId) {
    this.template = template;
    this.conversation = conversation;
    this.rendering = rendering;
    this.written = written;
    this.controls = written.apply(rendering);
    this.eosId = eosId;
  }

  /**
   * A turn.
   *
   * @param text what the model writes of it, without the token that ends it
   * @param close the end-of-turn token, or null
   */
  record Turn(Span text, Span close) {}

  /** A message's turn, null where nothing of it was rendered. */
  Turn find(int message, boolean trained) {
    Rendering alone = first(message + 1, false);
    Span own = own(message, alone);
    if (own == null) {
      return empty(message, alone);
    }
    int limit = limit(message, own.end(), alone);
    ControlTokens.Match close = close(own.end(), limit);
    if (close == null && closesOtherwise(message, alone)) {
      close = firstThatOpensNothing(own.end());
    }
    boolean asked = trained && role(message).equals("assistant");
    int begin = asked ? start(message, own.begin()) : own.begin();
    int end = close == null ? closing(own.end(), limit) : close.begin();
    return new Turn(
        new Span(begin, end), close == null ? null : new Span(close.begin(), close.end()));
  }

  /** Without an end-of-turn token: behind what else closes the turn, such as a bracket. */
  private int closing(int from, int limit) {
    String closing = rendering.text().substring(from, limit).stripTrailing();
    return from + closing.length();
  }

  private String role(int message) {
    return (String) conversation.messages().get(message).get("role");
  }

  /** The rendering of the first messages, or null where the template refuses them. */
  private Rendering first(int count, boolean prompt) {
    if (count == conversation.messages().size() && !prompt) {
      return rendering;
    }
    try {
      return template.trace(
          conversation.messages().subList(0, count), conversation.tools(), prompt);
    } catch (InvalidInputException e) {
      return null;
    }
  }

  /**
   * From a message's first character to its last. What later messages make the template repeat of
   * it (a tool's answer that names the call) is not of its turn: only as much counts as is there
   * while the message is the last.
   */
  private Span own(int message, Rendering alone) {
    String text = contributed(rendering, message);
    if (text.isEmpty()) {
      return null;
    }
    String before = alone == null ? text : contributed(alone, message);
    int count = text.length();
    if (!before.isEmpty() && before.length() < count) {
      if (!text.startsWith(before)) {
        throw new InvalidInputException(
            "the chat template repeats parts of message "
                + (message + 1)
                + " ("
                + role(message)
                + ") where later ones follow, so its loss cannot be told apart; use another"
                + " chat_template");
      }
      count = before.length();
    }
    int begin = -1;
    for (Run run : rendering.runs()) {
      if (ChatTemplate.messageOf(run.origin()) == message) {
        begin = begin < 0 ? run.begin() : begin;
        int length = run.end() - run.begin();
        if (count <= length) {
          return new Span(begin, run.begin() + count);
        }
        count -= length;
      }
    }
    throw new IllegalStateException("a message's characters are fewer than counted");
  }

  private static String contributed(Rendering rendering, int message) {
    StringBuilder text = new StringBuilder();
    for (Run run : rendering.runs()) {
      if (ChatTemplate.messageOf(run.origin()) == message) {
        text.append(rendering.text(), run.begin(), run.end());
      }
    }
    return text.toString();
  }

  /** How far what closes the turn may reach: as far as it is the same while nothing follows. */
  private int limit(int message, int from, Rendering alone) {
    if (alone == null) {
      return from;
    }
    int same = common(alone.text(), lastOf(message, alone), rendering.text(), from);
    return Math.min(from + same, nextOther(from));
  }

  private static int lastOf(int message, Rendering rendering) {
    int end = 0;
    for (Run run : rendering.runs()) {
      end = ChatTemplate.messageOf(run.origin()) == message ? run.end() : end;
    }
    return end;
  }

  /** Whether the turn is closed by some control token where it is the last, or where unknown. */
  private boolean closesOtherwise(int message, Rendering alone) {
    return alone == null
        || written.apply(alone).stream().anyMatch(m -> m.begin() >= lastOf(message, alone));
  }

  /**
   * The next control token, unless it is one that opens turns; gpt-oss ends the last its own way.
   */
  private ControlTokens.Match firstThatOpensNothing(int from) {
    Set<Integer> openers = new HashSet<>();
    for (int i = 0; i < conversation.messages().size(); i++) {
      Span own = own(i, null);
      int opener = -1;
      for (ControlTokens.Match match : controls) {
        opener = own != null && match.end() <= own.begin() ? match.id() : opener;
      }
      openers.add(opener);
    }
    for (ControlTokens.Match match : controls) {
      if (match.begin() >= from) {
        boolean closes = match.id() == eosId || !openers.contains(match.id());
        return closes && match.end() <= nextOther(from) ? match : null;
      }
    }
    return null;
  }

  private static int common(String a, int fromA, String b, int fromB) {
    int n = 0;
    while (fromA + n < a.length()
        && fromB + n < b.length()
        && a.charAt(fromA + n) == b.charAt(fromB + n)) {
      n++;
    }
    return n;
  }

  /** Where the next message or the tools begin. */
  private int nextOther(int from) {
    for (Run run : rendering.runs()) {
      if (run.begin() >= from && run.origin() != 0) {
        return run.begin();
      }
    }
    return rendering.text().length();
  }

  /** The first control token, or the last of several without anything between them. */
  private ControlTokens.Match close(int from, int limit) {
    ControlTokens.Match close = null;
    for (ControlTokens.Match match : controls) {
      boolean follows = close == null ? match.begin() >= from : match.begin() == close.end();
      boolean ended = close != null && close.id() == eosId;
      if (follows && !ended && match.end() <= limit) {
        close = match;
      }
    }
    return close;
  }

  /** Where the model starts to write an assistant's message whose own characters begin here. */
  private int start(int message, int begin) {
    int from = 0;
    for (Run run : rendering.runs()) {
      from = run.end() <= begin && run.origin() != 0 ? run.end() : from;
    }
    Rendering prompted = first(message, true);
    Rendering plain = first(message, false);
    if (prompted == null || plain == null) {
      // Some templates refuse to begin without a user; the prompt is the same further on.
      prompted = first(conversation.messages().size(), true);
      plain = rendering;
    }
    if (prompted == null) {
      return begin;
    }
    String text = rendering.text();
    String prompt = prompted.text();
    boolean asks = prompt.length() > plain.text().length() && prompt.startsWith(plain.text());
    if (text.startsWith(prompt) && prompt.length() >= from && prompt.length() <= begin) {
      // A template without generation prompts leaves the turn's header to be skipped here.
      return asks || !hasHeader(message, prompt.length(), begin) ? prompt.length() : begin;
    }
    return asks ? behind(prompt.substring(plain.text().length()), from, begin) : begin;
  }

  /**
   * Whether the template opens the turn with the role's name, or as it opens other roles' turns.
   */
  private boolean hasHeader(int message, int from, int to) {
    if (rendering.text().substring(from, to).contains(role(message))) {
      return true;
    }
    Set<Integer> openers = new HashSet<>();
    for (int other = 0; other < conversation.messages().size(); other++) {
      Span own = role(other).equals(role(message)) ? null : own(other, null);
      for (ControlTokens.Match match : controls) {
        if (own != null && match.end() <= own.begin() && match.begin() >= previous(own.begin())) {
          openers.add(match.id());
        }
      }
    }
    return controls.stream()
        .anyMatch(m -> m.begin() >= from && m.end() <= to && openers.contains(m.id()));
  }

  /** The end of the last contributed character before a place. */
  private int previous(int place) {
    int end = 0;
    for (Run run : rendering.runs()) {
      end = run.end() <= place && run.origin() != 0 ? run.end() : end;
    }
    return end;
  }

  /**
   * The place behind a generation prompt, where earlier turns are rewritten so that all before it
   * differs; or behind as much of it as the turn shares, where the template ends it differently for
   * turns of the past.
   */
  private int behind(String prompt, int from, int begin) {
    String text = rendering.text();
    String header = text.substring(from, begin);
    int whole = header.lastIndexOf(prompt);
    if (whole >= 0) {
      return from + whole + prompt.length();
    }
    for (int i = controls.size() - 1; i >= 0; i--) {
      ControlTokens.Match match = controls.get(i);
      boolean inHeader = match.begin() >= from && match.end() <= begin;
      if (inHeader && prompt.startsWith(text.substring(match.begin(), match.end()))) {
        int token = match.end() - match.begin();
        int same = common(prompt, 0, header, match.begin() - from);
        // Where the two part within a line, the line is the model's: part of it may be one token.
        return match.begin() + Math.max(token, prompt.lastIndexOf('\n', same - 1) + 1);
      }
    }
    return begin;
  }

  /** A turn of which nothing was rendered but its frame; null where even that is not. */
  private Turn empty(int message, Rendering alone) {
    Rendering prompted = first(message, true);
    boolean framed =
        role(message).equals("assistant")
            && alone != null
            && prompted != null
            && alone.text().startsWith(prompted.text())
            && rendering.text().startsWith(alone.text());
    if (!framed) {
      return null;
    }
    int begin = prompted.text().length();
    ControlTokens.Match close = null;
    for (ControlTokens.Match match : controls) {
      close = match.begin() >= begin && match.end() <= alone.text().length() ? match : close;
    }
    return close == null
        ? null
        : new Turn(new Span(begin, close.begin()), new Span(close.begin(), close.end()));
  }
}
