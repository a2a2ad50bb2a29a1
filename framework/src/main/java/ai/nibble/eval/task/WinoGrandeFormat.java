package ai.nibble.eval.task;

import ai.nibble.data.Row;
import ai.nibble.eval.task.ChoiceItem.Choice;
import java.util.List;
import java.util.stream.Stream;

/**
 * WinoGrande (Sakaguchi et al. 2020) as {@code allenai/winogrande} publishes it: {@code sentence}
 * with a blank {@code _}, {@code option1}, {@code option2}, {@code answer} 1 or 2. What is scored
 * is the rest of the sentence behind the blank, once with each option in it (Trinh and Le 2018).
 */
final class WinoGrandeFormat implements ChoiceFormat {
  @Override
  public String name() {
    return "winogrande";
  }

  @Override
  public ChoiceItem read(Row row) {
    String sentence = row.text("sentence");
    int blank = sentence.indexOf('_');
    String rest = blank < 0 ? "" : sentence.substring(blank + 1).strip();
    if (rest.isEmpty()) {
      throw row.wrong("sentence", sentence, "a blank '_' with some text behind it");
    }
    List<Choice> choices =
        Stream.of("option1", "option2")
            .map(option -> new Choice(sentence.substring(0, blank) + row.text(option), " " + rest))
            .toList();
    int answer = ChoiceItem.answer(row, "answer", 1, 2);
    return new ChoiceItem(row.where(), "", "", choices, answer);
  }
}
