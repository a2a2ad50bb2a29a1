package ai.nibble.data.format;

import ai.nibble.data.Row;
import ai.nibble.data.Sample;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/**
 * {@code prompt} and {@code completion}, both strings (no template) or both lists of messages; only
 * the completion carries loss.
 */
final class PromptCompletionFormat implements RowFormat {
  @Override
  public String name() {
    return "prompt_completion";
  }

  @Override
  public Sample read(Row row) {
    if (row.value("prompt") instanceof List) {
      List<Map<String, Object>> messages = new ArrayList<>(Messages.of(row, "prompt"));
      int context = messages.size();
      messages.addAll(Messages.of(row, "completion"));
      return new Sample.Conversation(messages, row.tools(), context);
    }
    return new Sample.Text(row.text("prompt"), row.text("completion"));
  }
}
