package ai.nibble.data;

import java.util.List;
import java.util.Map;

/**
 * What a row holds: a conversation, or text that is ready as it stands; or answers that are judged.
 */
public sealed interface Sample {

  /**
   * Messages for a chat template.
   *
   * @param messages at least one; each a map with {@code role} and what the template knows besides
   * @param tools function descriptions, empty for none
   * @param context how many of the first messages only set the scene and never carry loss
   */
  record Conversation(
      List<Map<String, Object>> messages, List<Map<String, Object>> tools, int context)
      implements Single {
    public Conversation {
      messages = List.copyOf(messages);
      tools = List.copyOf(tools);
      if (context < 0 || context > messages.size()) {
        throw new IllegalArgumentException(
            "context is " + context + " of " + messages.size() + " messages");
      }
    }
  }

  /**
   * Text for no template. Control tokens in it count: such rows are often formatted already.
   *
   * @param prompt carries no loss; empty where all is trained
   * @param completion carries loss, and so does the end-of-sequence token behind it
   */
  record Text(String prompt, String completion) implements Single {}

  /** A sample of one sequence. */
  sealed interface Single extends Sample permits Conversation, Text {}

  /**
   * Two answers to one prompt.
   *
   * @param chosen the prompt and the better answer
   * @param rejected the same prompt and the other
   */
  record Pair(Single chosen, Single rejected) implements Sample {}

  /**
   * An answer that somebody liked or did not.
   *
   * @param answer it and its prompt
   */
  record Judged(Single answer, boolean desirable) implements Sample {}
}
