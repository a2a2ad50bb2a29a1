package ai.nibble.eval;

import ai.nibble.data.Tokenizer;
import ai.nibble.generate.Completion;
import ai.nibble.generate.GenerationSettings;
import ai.nibble.generate.Generator;
import ai.nibble.generate.TextStream;
import java.util.ArrayList;
import java.util.List;

/**
 * A model's answers to questions, and how many are right.
 *
 * @param answers one for each question, in their order
 * @param tokens generated
 * @param seconds wall-clock time it took
 */
public record Answers(List<Answer> answers, long tokens, double seconds) {
  public Answers {
    answers = List.copyOf(answers);
  }

  /** An answer, and whether the metric counts it as right. */
  public record Answer(String text, boolean right) {}

  /** Lets a model answer. */
  public static Answers of(
      Generator generator,
      Tokenizer tokenizer,
      List<Question> questions,
      AnswerMetric metric,
      GenerationSettings settings) {
    long start = System.nanoTime();
    List<Completion> completions =
        generator.complete(questions.stream().map(Question::prompt).toList(), settings);
    List<Answer> answers = new ArrayList<>();
    long tokens = 0;
    for (int i = 0; i < completions.size(); i++) {
      int[] ids = completions.get(i).tokens();
      tokens += ids.length;
      String text = TextStream.text(tokenizer, ids);
      answers.add(new Answer(text, metric.isRight(text, questions.get(i).expected())));
    }
    return new Answers(answers, tokens, (System.nanoTime() - start) / 1e9);
  }

  /** How many are right. */
  public int right() {
    return (int) answers.stream().filter(Answer::right).count();
  }

  /** The share that is right, 0 to 1. */
  public double exactMatch() {
    return (double) right() / answers.size();
  }
}
