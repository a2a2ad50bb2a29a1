package ai.nibble.eval.task;

import ai.nibble.data.Row;
import ai.nibble.eval.task.ChoiceItem.Choice;
import java.util.List;

/**
 * Any multiple choice: {@code {"context": "…", "choices": ["…", "…"], "answer": 0}}. A choice
 * stands behind a space, unless the context is empty or ends with white space, or the choice begins
 * with some. Examples come from rows of the same {@code group}, where rows have that column.
 */
final class GenericChoiceFormat implements ChoiceFormat {
  @Override
  public String name() {
    return "choices";
  }

  @Override
  public ChoiceItem read(Row row) {
    String context = row.text("context");
    List<String> choices = ChoiceItem.texts(row, "choices", row.value("choices"));
    for (int c = 0; c < choices.size(); c++) {
      if (choices.get(c).isEmpty()) {
        throw row.wrong("choices[" + c + "]", "", "some text to score");
      }
    }
    int answer = ChoiceItem.answer(row, "answer", 0, choices.size());
    List<Choice> all =
        choices.stream().map(c -> new Choice(context, separator(context, c) + c)).toList();
    return new ChoiceItem(row.where(), row.optionalText("group").orElse(""), "", all, answer);
  }

  private static String separator(String context, String choice) {
    boolean separate =
        context.isEmpty()
            || Character.isWhitespace(context.charAt(context.length() - 1))
            || Character.isWhitespace(choice.charAt(0));
    return separate ? "" : " ";
  }
}
