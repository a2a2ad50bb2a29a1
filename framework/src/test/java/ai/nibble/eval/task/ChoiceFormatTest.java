package ai.nibble.eval.task;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import ai.nibble.InvalidInputException;
import ai.nibble.eval.task.ChoiceItem.Choice;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Rows made up in the forms that Hugging Face publishes. */
class ChoiceFormatTest {
  @TempDir Path folder;

  private Path file(String name, String text) throws IOException {
    return Files.writeString(folder.resolve(name), text);
  }

  private ChoiceItem only(String format, String row) throws IOException {
    List<ChoiceItem> items =
        ChoiceFormat.named(format).orElseThrow().read(file("rows.jsonl", row + "\n"));
    assertEquals(1, items.size());
    return items.get(0);
  }

  private static List<Choice> behind(String context, String... continuations) {
    return List.of(continuations).stream().map(c -> new Choice(context, c)).toList();
  }

  @Test
  void hellaSwagJoinsLabelAndContextAndTakesMarksOut() throws IOException {
    ChoiceItem item =
        only(
            "hellaswag",
            """
            {"ind": 4, "activity_label": "Baking a cake", "ctx_a": "[header] How to bake [title] Mix it.",\
             "ctx_b": "she Then", "ctx": "unused", "endings": ["eats  it.", "[step] waits.", "a", "b"],\
             "source_id": "x", "split": "val", "split_type": "indomain", "label": "1"}""");
    assertEquals(
        behind("Baking a cake: How to bake. Mix it. She then", " eats it.", "  waits.", " a", " b"),
        item.choices());
    assertEquals(1, item.answer());
  }

  @Test
  void hellaSwagTextHasSixLinesAnItem() throws IOException {
    Path file = file("h.txt", "A: one\n1\na\nb\nc\nd\nB: two\n3\ne\nf\ng\nh\n");
    List<ChoiceItem> items = ChoiceFormat.named("hellaswag").orElseThrow().read(file);
    assertEquals(2, items.size());
    assertEquals(behind("B: two", " e", " f", " g", " h"), items.get(1).choices());
    assertEquals(3, items.get(1).answer());
    assertEquals(file + ":7", items.get(1).where());
    assertEquals("B: two h", items.get(1).solved());
  }

  @Test
  void mmluListsChoicesUnderLettersWhichAreScored() throws IOException {
    ChoiceItem item =
        only(
            "mmlu",
            """
            {"question": " What is 1 + 1? ", "subject": "abstract_algebra",\
             "choices": ["0", "2", "3", "4"], "answer": 1}""");
    assertEquals(
        behind("What is 1 + 1?\nA. 0\nB. 2\nC. 3\nD. 4\nAnswer:", " A", " B", " C", " D"),
        item.choices());
    assertEquals("abstract_algebra", item.group());
    assertEquals(
        "The following are multiple choice questions (with answers) about abstract algebra.\n\n",
        item.description());
    assertEquals(1, item.answer());
  }

  @ParameterizedTest
  @CsvSource({"A,B,B,1", "1,2,1,0"})
  void arcFindsTheKeyAmongTheLabels(String first, String second, String key, int answer)
      throws IOException {
    ChoiceItem item =
        only(
            "arc",
            """
            {"id": "x_1", "question": "Why?", "choices": {"text": ["so", "not so"],\
             "label": ["%s", "%s"]}, "answerKey": "%s"}"""
                .formatted(first, second, key));
    assertEquals(behind("Question: Why?\nAnswer:", " so", " not so"), item.choices());
    assertEquals(answer, item.answer());
  }

  @Test
  void piqaScoresSolutions() throws IOException {
    ChoiceItem item =
        only(
            "piqa",
            "{\"goal\": \"Open it.\", \"sol1\": \"Pull.\", \"sol2\": \"Push.\", \"label\": 1}");
    assertEquals(behind("Question: Open it.\nAnswer:", " Pull.", " Push."), item.choices());
    assertEquals("Question: Open it.\nAnswer: Push.", item.solved());
  }

  @Test
  void winoGrandeScoresTheRestBehindEachOption() throws IOException {
    ChoiceItem item =
        only(
            "winogrande",
            """
            {"sentence": "The cup fell on the plate and the _ broke.", "option1": "cup",\
             "option2": "plate", "answer": "2"}""");
    assertEquals(
        List.of(
            new Choice("The cup fell on the plate and the cup", " broke."),
            new Choice("The cup fell on the plate and the plate", " broke.")),
        item.choices());
    assertEquals(1, item.answer());
  }

  @Test
  void anyFileSeparatesChoicesByASpaceWhereThereIsNone() throws IOException {
    String row = "{\"context\": \"%s\", \"choices\": [\"a\", \" b\"], \"answer\": 0}";
    assertEquals(behind("x", " a", " b"), only("choices", row.formatted("x")).choices());
    assertEquals(behind("x\n", "a", " b"), only("choices", row.formatted("x\\n")).choices());
    assertEquals(behind("", "a", " b"), only("choices", row.formatted("")).choices());
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      textBlock =
          """
          choices    | {"context": "x", "choices": ["a"], "answer": 0} | column 'choices' is [a], expected a list of at least two texts
          choices    | {"context": "x", "choices": ["a", ""], "answer": 0} | column 'choices[1]' is '', expected some text to score
          choices    | {"context": "x", "choices": ["a", "b"], "answer": 2} | column 'answer' is 2, expected the right choice's number, 0 to 1
          choices    | {"choices": ["a", "b"], "answer": 0} | column 'context' is missing
          hellaswag  | {"activity_label": "x", "ctx_a": "y", "ctx_b": "z", "endings": ["a", "b"], "label": ""} | column 'label' is '', expected the right choice's number
          piqa       | {"goal": "x", "sol1": "a", "sol2": "b", "label": -1} | column 'label' is -1, expected the right choice's number, 0 to 1; where answers are not published take another split
          winogrande | {"sentence": "no blank", "option1": "a", "option2": "b", "answer": "1"} | column 'sentence' is 'no blank', expected a blank '_' with some text behind it
          winogrande | {"sentence": "a _ b", "option1": "a", "option2": "b", "answer": "0"} | column 'answer' is '0', expected the right choice's number, 1 to 2
          arc        | {"question": "x", "choices": ["a", "b"], "answerKey": "A"} | column 'choices' is [a, b], expected an object with lists 'text' and 'label'
          arc        | {"question": "x", "choices": {"text": ["a", "b"], "label": ["A", "B"]}, "answerKey": "C"} | column 'answerKey' is 'C', expected one of the labels [A, B]
          mmlu       | {"question": "x", "subject": "s", "choices": "ab", "answer": 0} | column 'choices' is 'ab', expected a list of at least two texts
          mmlu       | {"question": | not valid JSON
          """)
  void aBadRowIsNamedByFileAndLine(String format, String row, String problem) throws IOException {
    String good =
        switch (format) {
          case "choices" -> "{\"context\": \"x\", \"choices\": [\"a\", \"b\"], \"answer\": 1}\n";
          case "piqa" -> "{\"goal\": \"x\", \"sol1\": \"a\", \"sol2\": \"b\", \"label\": 0}\n";
          default -> "\n";
        };
    Path file = file("rows.jsonl", good + row + "\n");
    ChoiceFormat reader = ChoiceFormat.named(format).orElseThrow();
    String message =
        assertThrows(InvalidInputException.class, () -> reader.read(file)).getMessage();
    assertEquals(file + ":2", message.substring(0, (file + ":2").length()));
    assertEquals(true, message.contains(problem), message);
  }

  @Test
  void aFileWithoutItemsOrWithHalfAnItemIsRefused() throws IOException {
    ChoiceFormat hellaSwag = ChoiceFormat.named("hellaswag").orElseThrow();
    Path half = file("h.txt", "A\n0\na\nb\n");
    assertEquals(
        half
            + ":1: the last item has 4 lines, expected six: context, index of the right ending, four endings",
        assertThrows(InvalidInputException.class, () -> hellaSwag.read(half)).getMessage());
    Path empty = file("e.jsonl", "\n");
    assertEquals(
        empty + ": no rows, expected at least one of hellaswag",
        assertThrows(InvalidInputException.class, () -> hellaSwag.read(empty)).getMessage());
  }

  @Test
  void everyShippedFormatIsFoundByItsName() {
    assertEquals(6, ChoiceFormat.shipped().size());
    for (ChoiceFormat format : ChoiceFormat.shipped()) {
      assertEquals(format.getClass(), ChoiceFormat.named(format.name()).orElseThrow().getClass());
    }
  }
}
