package ai.nibble.eval.task;

import ai.nibble.data.Row;
import java.util.List;
import java.util.Map;

/**
 * ARC, Easy and Challenge (Clark et al. 2018), as {@code allenai/ai2_arc} publishes it: {@code
 * question}, {@code choices} with lists {@code text} and {@code label}, {@code answerKey}. The
 * choices' texts are scored behind {@code "Question: …\nAnswer:"}.
 */
final class ArcFormat implements ChoiceFormat {
  @Override
  public String name() {
    return "arc";
  }

  @Override
  public ChoiceItem read(Row row) {
    if (!(row.value("choices") instanceof Map<?, ?> choices)) {
      throw row.wrong("choices", row.value("choices"), "an object with lists 'text' and 'label'");
    }
    List<String> texts = ChoiceItem.texts(row, "choices", choices.get("text"));
    List<String> labels = ChoiceItem.texts(row, "choices", choices.get("label"));
    if (labels.size() != texts.size()) {
      throw row.wrong("choices", choices, "as many labels as texts");
    }
    String key = row.text("answerKey");
    int answer = labels.indexOf(key);
    if (answer < 0) {
      throw row.wrong("answerKey", key, "one of the labels " + labels);
    }
    String context = "Question: " + row.text("question") + "\nAnswer:";
    return ChoiceItem.of(row, context, texts, answer);
  }
}
