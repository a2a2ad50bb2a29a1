package ai.nibble.eval.task;

import ai.nibble.InvalidInputException;
import ai.nibble.data.RowFile;
import ai.nibble.data.RowProblems;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/**
 * A question whose answer is written out and ends in a number, as {@code openai/gsm8k} publishes
 * GSM8K (Cobbe et al. 2021): {@code question}, {@code answer} with the number behind {@code ####}.
 *
 * @param where its place in its file
 */
public record Problem(String where, String question, String answer) implements Example {
  @Override
  public String group() {
    return "";
  }

  @Override
  public String content() {
    return question + "\n" + answer;
  }

  /**
   * Reads a file of such rows.
   *
   * @throws InvalidInputException naming file and line of a row that is not as expected, or where
   *     there is none
   */
  public static List<Problem> read(Path file) {
    List<Problem> problems = new ArrayList<>();
    try (RowFile rows = new RowFile(file, Map.of())) {
      RowProblems.forEach(
          file.toString(),
          rows,
          row -> {
            String answer = row.text("answer");
            if (FinalNumber.of(answer).isEmpty()) {
              throw row.wrong("answer", answer, "an answer with a number, best behind '####'");
            }
            problems.add(new Problem(row.where(), row.text("question"), answer));
          });
    }
    if (problems.isEmpty()) {
      throw new InvalidInputException(file + ": no rows, expected at least one of gsm8k");
    }
    return problems;
  }
}
