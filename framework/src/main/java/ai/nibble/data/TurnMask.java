package ai.nibble.data;

import ai.nibble.InvalidInputException;
import ai.nibble.data.EncodingSettings.TrainOnEos;
import ai.nibble.data.jinja.Rendering;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * Which characters of a rendered conversation carry loss.
 *
 * <p>The rendering says which characters each message contributed, wherever the template put them
 * and whatever it did to them. A trained turn is what the model would have to write: from where its
 * prompt ends (the rendering of the earlier messages with a generation prompt), through the
 * message, to the end-of-turn token: the first control token behind it.
 */
final class TurnMask {
  private final ChatTemplate template;
  private final Sample.Conversation conversation;
  private final Rendering rendering;
  private final List<ControlTokens.Match> controls;
  private final int eosId;
  // First and behind-last character of each message; -1 where nothing of it was rendered.
  private final int[] begins;
  private final int[] ends;

  /**
   * @param controls the control tokens that the template wrote
   * @param eosId −1 where there is none
   */
  TurnMask(
      ChatTemplate template,
      Sample.Conversation conversation,
      Rendering rendering,
      List<ControlTokens.Match> controls,
      int eosId) {
    this.template = template;
    this.conversation = conversation;
    this.rendering = rendering;
    this.controls = controls;
    this.eosId = eosId;
    int n = conversation.messages().size();
    this.begins = new int[n];
    this.ends = new int[n];
    java.util.Arrays.fill(begins, -1);
    for (Rendering.Run run : rendering.runs()) {
      int message = ChatTemplate.messageOf(run.origin());
      if (message >= 0) {
        begins[message] = begins[message] < 0 ? run.begin() : begins[message];
        ends[message] = run.end();
      }
    }
  }

  /** Characters {@code [begin, end)}. */
  record Span(int begin, int end) {
    boolean overlaps(int otherBegin, int otherEnd) {
      // A token without characters of its own counts where it stands.
      return otherBegin == otherEnd
          ? otherBegin >= begin && otherBegin < end
          : otherBegin < end && otherEnd > begin;
    }
  }

  /** The stretches that carry loss, in no particular order. */
  List<Span> trained(EncodingSettings settings) {
    List<Span> spans = new ArrayList<>();
    Span last = null;
    Set<Integer> openers = openers();
    for (int i = 0; i < begins.length; i++) {
      boolean train =
          i >= conversation.context()
              && settings.rolesToTrain().contains(conversation.messages().get(i).get("role"));
      int start = begins[i] >= 0 ? begins[i] : train ? emptyTurn(i) : -1;
      if (start < 0) {
        continue;
      }
      int end = begins[i] >= 0 ? ends[i] : start;
      ControlTokens.Match close = endOfTurn(i, end, openers);
      if (train) {
        requireUnmixed(i);
        int begin = begins[i] >= 0 ? turnStart(i) : start;
        spans.add(new Span(begin, close == null ? end : close.begin()));
      }
      if (close != null) {
        last = new Span(close.begin(), close.end());
        boolean wanted = settings.trainOnEos() == TrainOnEos.ALL;
        if (wanted || (train && settings.trainOnEos() == TrainOnEos.TURN)) {
          spans.add(last);
        }
      }
    }
    if (last != null && settings.trainOnEos() == TrainOnEos.LAST) {
      spans.add(last);
    }
    return spans;
  }

  /** Control tokens that stand right before a message: they open turns and end none. */
  private Set<Integer> openers() {
    Set<Integer> openers = new HashSet<>();
    for (int begin : begins) {
      int opener = -1;
      for (ControlTokens.Match match : controls) {
        opener = match.end() <= begin ? match.id() : opener;
      }
      openers.add(opener);
    }
    return openers;
  }

  private ControlTokens.Match endOfTurn(int message, int from, Set<Integer> openers) {
    int limit = nextOther(from);
    for (ControlTokens.Match match : controls) {
      if (match.begin() >= from) {
        boolean within = match.end() <= limit;
        boolean closes = match.id() == eosId || !openers.contains(match.id());
        return within && (closes || endsWithin(message, match)) ? match : null;
      }
    }
    return null;
  }

  /** Where the next message or the tools begin. */
  private int nextOther(int from) {
    for (Rendering.Run run : rendering.runs()) {
      if (run.begin() >= from && run.origin() != 0) {
        return run.begin();
      }
    }
    return rendering.text().length();
  }

  /** Whether the conversation up to and with this message already has the token. */
  private boolean endsWithin(int message, ControlTokens.Match match) {
    String upTo = prefix(message + 1, false);
    return upTo != null && rendering.text().startsWith(upTo) && upTo.length() >= match.end();
  }

  /** The rendering of the first messages, or null where the template refuses them. */
  private String prefix(int count, boolean prompt) {
    List<Map<String, Object>> first = conversation.messages().subList(0, count);
    try {
      return template.trace(first, conversation.tools(), prompt).text();
    } catch (InvalidInputException e) {
      return null;
    }
  }

  private void requireUnmixed(int message) {
    if (begins[message] < 0) {
      return;
    }
    for (Rendering.Run run : rendering.runs()) {
      boolean inside = run.begin() >= begins[message] && run.end() <= ends[message];
      if (inside && run.origin() != 0 && ChatTemplate.messageOf(run.origin()) != message) {
        throw new InvalidInputException(
            "the chat template mixes message "
                + (message + 1)
                + " ("
                + conversation.messages().get(message).get("role")
                + ") with others, so its loss cannot be told apart; use another chat_template");
      }
    }
  }

  /** Where the model starts to write this message. */
  private int turnStart(int message) {
    if (!conversation.messages().get(message).get("role").equals("assistant")) {
      return begins[message];
    }
    int from = 0;
    for (Rendering.Run run : rendering.runs()) {
      from = run.end() <= begins[message] && run.origin() != 0 ? run.end() : from;
    }
    String text = rendering.text();
    String prompt = prefix(message, true);
    String plain = prefix(message, false);
    if (prompt == null) {
      return begins[message];
    }
    String asked =
        plain != null && prompt.startsWith(plain) ? prompt.substring(plain.length()) : "";
    boolean isPrefix =
        text.startsWith(prompt) && prompt.length() >= from && prompt.length() <= begins[message];
    if (isPrefix) {
      String header = text.substring(prompt.length(), begins[message]);
      // A template without generation prompts leaves the header to be skipped here.
      return asked.isEmpty() && header.contains("assistant") ? begins[message] : prompt.length();
    }
    return behindHeader(text, from, begins[message], asked);
  }

  /**
   * Where earlier turns are rewritten the prompt is no prefix, but its last part, the generation
   * prompt, still stands before the turn; whole, or up to one of its control tokens where the
   * template ends it differently for turns of the past.
   */
  private int behindHeader(String text, int from, int begin, String asked) {
    String header = text.substring(from, begin);
    List<Integer> cuts = new ArrayList<>(List.of(asked.length()));
    for (ControlTokens.Match match : controls) {
      String token = text.substring(match.begin(), match.end());
      int at = asked.lastIndexOf(token);
      if (at >= 0 && !cuts.contains(at + token.length())) {
        cuts.add(at + token.length());
      }
    }
    cuts.sort(java.util.Comparator.reverseOrder());
    for (int cut : cuts) {
      int at = header.lastIndexOf(asked.substring(0, cut));
      if (cut > 0 && at >= 0) {
        return from + at + cut;
      }
    }
    return begin;
  }

  /** The start of a turn of which nothing was rendered but its frame, −1 where even that is not. */
  private int emptyTurn(int message) {
    String prompt = prefix(message, true);
    String plain = prefix(message, false);
    boolean framed = prompt != null && !prompt.equals(plain) && rendering.text().startsWith(prompt);
    return framed && nextOther(prompt.length()) >= prompt.length() ? prompt.length() : -1;
  }
}
