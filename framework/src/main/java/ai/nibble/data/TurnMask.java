package ai.nibble.data;

import ai.nibble.InvalidInputException;
import ai.nibble.data.EncodingSettings.TrainOnEos;
import ai.nibble.data.jinja.Rendering;
import ai.nibble.data.jinja.Rendering.Span;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Function;

/**
 * Which characters of a rendered conversation carry loss.
 *
 * <p>A trained turn is what the model would have to write: from where its prompt ends, through what
 * the message contributed, to the end-of-turn token. Where a template marks that itself, in {@code
 * generation} blocks, nothing outside them carries loss.
 */
final class TurnMask {
  private final RenderedTurns turns;
  private final Sample.Conversation conversation;
  private final Rendering rendering;

  /**
   * @param written finds the control tokens that the template wrote, in order
   * @param eosId −1 where there is none
   */
  TurnMask(
      ChatTemplate template,
      Sample.Conversation conversation,
      Rendering rendering,
      Function<Rendering, List<ControlTokens.Match>> written,
      int eosId) {
    this.turns = new RenderedTurns(template, conversation, rendering, written, eosId);
    this.conversation = conversation;
    this.rendering = rendering;
  }

  /** Whether a token's characters are, in part, those of the span. */
  static boolean overlaps(Span span, int begin, int end) {
    // A token without characters of its own counts where it stands.
    return begin == end
        ? begin >= span.begin() && begin < span.end()
        : begin < span.end() && end > span.begin();
  }

  /** The stretches that carry loss, in no particular order. */
  List<Span> trained(EncodingSettings settings) {
    List<Span> spans = new ArrayList<>();
    Span last = null;
    TrainOnEos ends = settings.trainOnEos();
    boolean everyEnd = ends == TrainOnEos.ALL || ends == TrainOnEos.LAST;
    for (int i = 0; i < conversation.messages().size(); i++) {
      Object role = conversation.messages().get(i).get("role");
      boolean train = i >= conversation.context() && settings.rolesToTrain().contains(role);
      RenderedTurns.Turn turn = train || everyEnd ? turns.find(i, train) : null;
      if (turn == null) {
        continue;
      }
      if (train) {
        requireUnmixed(i, turn);
        spans.addAll(role.equals("assistant") ? generated(turn.text()) : List.of(turn.text()));
      }
      if (turn.close() != null) {
        last = turn.close();
        if (ends == TrainOnEos.ALL || (train && ends == TrainOnEos.TURN)) {
          spans.add(last);
        }
      }
    }
    if (last != null && ends == TrainOnEos.LAST) {
      spans.add(last);
    }
    return spans;
  }

  /** What of the span the template marks as the model's; all of it where it marks nothing. */
  private List<Span> generated(Span span) {
    if (rendering.generated().isEmpty()) {
      return List.of(span);
    }
    List<Span> parts = new ArrayList<>();
    for (Span mark : rendering.generated()) {
      int begin = Math.max(mark.begin(), span.begin());
      int end = Math.min(mark.end(), span.end());
      if (begin < end) {
        parts.add(new Span(begin, end));
      }
    }
    return parts;
  }

  private void requireUnmixed(int message, RenderedTurns.Turn turn) {
    for (Rendering.Run run : rendering.runs()) {
      boolean inside = overlaps(turn.text(), run.begin(), run.end());
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
}
