package ai.nibble.eval.task;

import ai.nibble.data.Row;
import java.util.List;

/**
 * PIQA (Bisk et al. 2020) as {@code ybisk/piqa} publishes it: {@code goal}, {@code sol1}, {@code
 * sol2}, {@code label}. The solutions are scored behind {@code "Question: goal\nAnswer:"}.
 */
final class PiqaFormat implements ChoiceFormat {
  @Override
  public String name() {
    return "piqa";
  }

  @Override
  public ChoiceItem read(Row row) {
    List<String> solutions = List.of(row.text("sol1"), row.text("sol2"));
    int answer = ChoiceItem.answer(row, "label", 0, 2);
    return ChoiceItem.of(row, "Question: " + row.text("goal") + "\nAnswer:", solutions, answer);
  }
}
