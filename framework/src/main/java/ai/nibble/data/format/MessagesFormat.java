package ai.nibble.data.format;

import ai.nibble.data.Row;
import ai.nibble.data.Sample;

/**
 * {@code messages}: a list of {@code role} and {@code content}, with {@code tool_calls} and
 * whatever else the template knows; {@code tools} (optional): function descriptions, or JSON text
 * of them.
 */
final class MessagesFormat implements RowFormat {
  @Override
  public String name() {
    return "messages";
  }

  @Override
  public Sample read(Row row) {
    return new Sample.Conversation(Messages.of(row, "messages"), row.tools(), 0);
  }
}
