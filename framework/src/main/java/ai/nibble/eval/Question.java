package ai.nibble.eval;

import ai.nibble.InvalidInputException;
import ai.nibble.data.PromptEncoder;
import ai.nibble.data.Row;
import ai.nibble.data.RowProblems;
import ai.nibble.data.Sample;
import ai.nibble.data.format.RowFormat;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.Map;

/**
 * A held-out row: what is asked, and what should be answered.
 *
 * @param prompt token ids that the model goes on from
 * @param request the last message before the answer, or the text; for people
 * @param standsAlone whether the request is all that is asked, without turns or tools before it
 * @param expected the row's own last assistant turn, or its completion
 */
public record Question(int[] prompt, String request, boolean standsAlone, String expected) {

  /**
   * Reads rows of which each ends with an answer.
   *
   * @throws InvalidInputException naming the rows that have no answer, or one that the metric
   *     cannot compare, see {@link RowProblems}; or where there is no row
   */
  public static List<Question> read(
      String name,
      Iterator<Row> rows,
      RowFormat format,
      PromptEncoder prompts,
      AnswerMetric metric) {
    List<Question> questions = new ArrayList<>();
    RowProblems.forEach(
        name,
        rows,
        row -> {
          Question question = of(format.read(row), prompts);
          metric
              .flaw(question.expected)
              .ifPresent(
                  flaw -> {
                    throw new InvalidInputException("the expected answer " + flaw);
                  });
          questions.add(question);
        });
    if (questions.isEmpty()) {
      throw new InvalidInputException(name + ": no rows, expected at least one question");
    }
    return questions;
  }

  private static Question of(Sample sample, PromptEncoder prompts) {
    if (sample instanceof Sample.Text text) {
      if (text.prompt().isEmpty()) {
        throw new InvalidInputException(
            "the row is text without a prompt, expected a question and its answer");
      }
      return new Question(prompts.encode(text.prompt()), text.prompt(), true, text.completion());
    }
    if (!(sample instanceof Sample.Conversation conversation)) {
      throw new InvalidInputException(
          "the row holds answers that are judged, expected a question and the one right answer");
    }
    List<Map<String, Object>> messages = conversation.messages();
    Map<String, Object> last = messages.get(messages.size() - 1);
    if (messages.size() < 2
        || !"assistant".equals(last.get("role"))
        || !(last.get("content") instanceof String expected)
        || last.get("tool_calls") != null) {
      throw new InvalidInputException(
          "the conversation ends with no text of the assistant after a question, which is what"
              + " answers are compared with");
    }
    List<Map<String, Object>> before = messages.subList(0, messages.size() - 1);
    Object asked = before.get(before.size() - 1).get("content");
    return new Question(
        prompts.encode(before, conversation.tools()),
        String.valueOf(asked),
        before.size() == 1 && conversation.tools().isEmpty(),
        expected);
  }
}
