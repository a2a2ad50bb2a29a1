package ai.nibble.eval;

import ai.nibble.InvalidInputException;
import ai.nibble.data.PromptEncoder;
import ai.nibble.eval.task.FinalNumber;
import ai.nibble.eval.task.Problem;
import ai.nibble.generate.Completion;
import ai.nibble.generate.GenerationSettings;
import ai.nibble.generate.Generator;
import ai.nibble.generate.Sampler;
import ai.nibble.generate.StopStrings;
import ai.nibble.generate.StopTokens;
import ai.nibble.generate.TextStream;
import java.math.BigDecimal;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Consumer;
import java.util.stream.IntStream;

/**
 * Answers that the model writes, greedily, and that are right if they end in the right {@linkplain
 * FinalNumber number}.
 *
 * <p>With a chat template the question is a user's turn, and examples are turns before it. Without,
 * the text is lm-evaluation-harness's {@code "Question: …\nAnswer:"}, and what comes from the next
 * {@code "Question:"} on is no part of an answer.
 */
public final class AnswerTask implements EvalTask<AnswerTask.Result> {
  private static final String NEXT_QUESTION = "Question:";

  private final String name;
  private final List<Problem> problems;
  private final FewShot<Problem> fewShot;
  private final int maxNewTokens;
  private final int limit;
  private ModelText checked;

  /**
   * One item.
   *
   * @param answer what the model wrote
   * @param number that it ends in; null where there is none
   * @param expected the right number
   * @param tokens generated
   */
  public record Result(String answer, BigDecimal number, BigDecimal expected, int tokens) {
    private boolean right() {
      return number != null && number.compareTo(expected) == 0;
    }
  }

  /**
   * @param problems at least one
   * @param limit most items
   * @throws InvalidInputException where an item has too few examples
   */
  public AnswerTask(
      String name, List<Problem> problems, FewShot<Problem> fewShot, int maxNewTokens, int limit) {
    this.name = name;
    this.problems = List.copyOf(problems);
    this.fewShot = fewShot;
    this.maxNewTokens = maxNewTokens;
    this.limit = limit;
    IntStream.range(0, problems.size()).forEach(i -> fewShot.examples(problems.get(i), i));
  }

  @Override
  public String name() {
    return name;
  }

  @Override
  public Map<String, String> settings(ModelText text) {
    Map<String, String> settings = new LinkedHashMap<>();
    settings.put("data", Fingerprint.of(problems));
    settings.putAll(fewShot.settings());
    settings.put("max_new_tokens", "" + maxNewTokens);
    settings.put(
        "chat_template", text.template().map(t -> Fingerprint.of(t.source())).orElse("none"));
    return settings;
  }

  @Override
  public int items(ModelText text) {
    int items = Math.min(limit, problems.size());
    if (checked != text) {
      // a prompt without room for an answer is found before the weights are read
      PromptEncoder encoder = text.prompts();
      IntStream.range(0, items).forEach(i -> prompt(text, encoder, i));
      checked = text;
    }
    return items;
  }

  @Override
  public Class<Result> resultType() {
    return Result.class;
  }

  @Override
  public void evaluate(Subject subject, int begin, int end, Consumer<List<Result>> results) {
    ModelText text = subject.text();
    PromptEncoder encoder = text.prompts();
    GenerationSettings settings = settings(text, encoder);
    try (Generator generator = new Generator(subject.model())) {
      int each = 2 * Generator.BATCH_SIZE; // as often are results kept
      for (int batch = begin; batch < end; batch += each) {
        int first = batch;
        int last = Math.min(end, first + each);
        List<int[]> prompts =
            IntStream.range(first, last).mapToObj(i -> prompt(text, encoder, i)).toList();
        List<Completion> completions = generator.complete(prompts, settings);
        results.accept(
            IntStream.range(first, last)
                .mapToObj(i -> result(text, problems.get(i), completions.get(i - first)))
                .toList());
      }
    }
  }

  private GenerationSettings settings(ModelText text, PromptEncoder encoder) {
    StopStrings stops =
        text.template().isEmpty() ? new StopStrings(List.of(NEXT_QUESTION)) : StopStrings.NONE;
    return new GenerationSettings(
            maxNewTokens,
            StopTokens.of(text.directory(), text.config(), text.tokenizer(), encoder),
            Sampler.GREEDY,
            stops.rule(text.tokenizer()))
        .within(text.tokenizer());
  }

  private int[] prompt(ModelText text, PromptEncoder encoder, int index) {
    Problem problem = problems.get(index);
    List<Problem> examples = fewShot.examples(problem, index);
    try {
      if (text.template().isEmpty()) {
        StringBuilder prompt = new StringBuilder();
        for (Problem example : examples) {
          prompt.append(question(example)).append(' ').append(example.answer());
          prompt.append(FewShot.SEPARATOR);
        }
        return encoder.encode(prompt.append(question(problem)).toString());
      }
      List<Map<String, Object>> messages = new ArrayList<>();
      for (Problem example : examples) {
        messages.add(Map.of("role", "user", "content", example.question()));
        messages.add(Map.of("role", "assistant", "content", example.answer()));
      }
      messages.add(Map.of("role", "user", "content", problem.question()));
      return encoder.encode(messages, List.of());
    } catch (InvalidInputException e) {
      throw new InvalidInputException(problem.where() + ": " + e.getMessage(), e);
    }
  }

  private static String question(Problem problem) {
    return NEXT_QUESTION + " " + problem.question() + "\nAnswer:";
  }

  private static Result result(ModelText text, Problem problem, Completion completion) {
    String answer = TextStream.text(text.tokenizer(), completion.tokens());
    int next = text.template().isEmpty() ? answer.indexOf(NEXT_QUESTION) : -1;
    String own = next < 0 ? answer : answer.substring(0, next);
    Optional<BigDecimal> number = FinalNumber.of(own);
    BigDecimal expected = FinalNumber.of(problem.answer()).orElseThrow();
    return new Result(own, number.orElse(null), expected, completion.tokens().length);
  }

  @Override
  public List<Metric> metrics(List<Result> results) {
    boolean[] right = new boolean[results.size()];
    for (int i = 0; i < right.length; i++) {
      right[i] = results.get(i).right();
    }
    return List.of(Metric.share("exact_match", right));
  }
}
