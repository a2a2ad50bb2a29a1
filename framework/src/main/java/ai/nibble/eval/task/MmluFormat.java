package ai.nibble.eval.task;

import ai.nibble.data.Row;
import ai.nibble.eval.task.ChoiceItem.Choice;
import java.util.ArrayList;
import java.util.List;

/**
 * MMLU (Hendrycks et al. 2021) as {@code cais/mmlu} publishes it: {@code question}, {@code
 * subject}, {@code choices}, {@code answer}. The choices are listed under letters, and a letter is
 * what is scored. Examples are of the same subject: usually five, of the {@code dev} split.
 */
final class MmluFormat implements ChoiceFormat {
  @Override
  public String name() {
    return "mmlu";
  }

  @Override
  public ChoiceItem read(Row row) {
    String subject = row.text("subject");
    List<String> choices = ChoiceItem.texts(row, "choices", row.value("choices"));
    int answer = ChoiceItem.answer(row, "answer", 0, choices.size());
    StringBuilder question = new StringBuilder(row.text("question").strip()).append('\n');
    List<String> letters = new ArrayList<>();
    for (int c = 0; c < choices.size(); c++) {
      String letter = String.valueOf((char) ('A' + c));
      question.append(letter).append(". ").append(choices.get(c)).append('\n');
      letters.add(letter);
    }
    String context = question.append("Answer:").toString();
    String description =
        "The following are multiple choice questions (with answers) about "
            + subject.replace('_', ' ')
            + ".\n\n";
    List<Choice> all = letters.stream().map(letter -> new Choice(context, " " + letter)).toList();
    return new ChoiceItem(row.where(), subject, description, all, answer);
  }
}
