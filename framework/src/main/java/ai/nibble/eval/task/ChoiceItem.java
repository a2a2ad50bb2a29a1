package ai.nibble.eval.task;

import ai.nibble.InvalidInputException;
import ai.nibble.data.Row;
import java.util.List;

/**
 * A question with choices, as text.
 *
 * @param where its place in its file, for messages
 * @param group examples come from items of the same group, such as a subject; often empty
 * @param description what stands before examples and question; often empty
 * @param choices at least two
 * @param answer index of the right choice, from 0
 */
public record ChoiceItem(
    String where, String group, String description, List<Choice> choices, int answer)
    implements Example {
  public ChoiceItem {
    choices = List.copyOf(choices);
  }

  /**
   * A choice.
   *
   * @param context what stands before it
   * @param continuation its text as it is scored, with the space that separates it
   */
  public record Choice(String context, String continuation) {}

  /** The item as an example: the right choice behind its context. */
  public String solved() {
    Choice right = choices.get(answer);
    return right.context + right.continuation;
  }

  @Override
  public String content() {
    return description + choices + answer;
  }

  /** An item whose choices share a context, each behind a space. */
  static ChoiceItem of(Row row, String context, List<String> choices, int answer) {
    return of(row, "", "", context, choices, answer);
  }

  /** As above, of a group. */
  static ChoiceItem of(
      Row row, String group, String description, String context, List<String> choices, int answer) {
    List<Choice> all = choices.stream().map(c -> new Choice(context, " " + c)).toList();
    return new ChoiceItem(row.where(), group, description, all, answer);
  }

  /**
   * Reads the index of the right choice: a whole number, or text of one.
   *
   * @param first what the first choice is called, 0 or 1
   * @throws InvalidInputException where there is no such choice, as in test sets whose answers are
   *     not published
   */
  static int answer(Row row, String column, int first, int choices) {
    Object value = row.value(column);
    String text = String.valueOf(value).strip();
    if (text.matches("\\d{1,9}")) {
      int index = Integer.parseInt(text) - first;
      if (index >= 0 && index < choices) {
        return index;
      }
    }
    throw row.wrong(
        column,
        value,
        "the right choice's number, %d to %d; where answers are not published take another split"
            .formatted(first, choices - 1 + first));
  }

  /**
   * A list of at least two texts.
   *
   * @throws InvalidInputException where the column is anything else
   */
  static List<String> texts(Row row, String column, Object value) {
    if (!(value instanceof List<?> list)
        || list.size() < 2
        || !list.stream().allMatch(String.class::isInstance)) {
      throw row.wrong(column, value, "a list of at least two texts");
    }
    return list.stream().map(String.class::cast).toList();
  }
}
