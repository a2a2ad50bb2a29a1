package ai.nibble.recipe;

import ai.nibble.InvalidInputException;
import ai.nibble.data.ChatTemplate;
import ai.nibble.data.Example;
import ai.nibble.data.PromptEncoder;
import ai.nibble.data.RowFiles;
import ai.nibble.data.Tokenizer;
import ai.nibble.data.format.RowFormat;
import ai.nibble.eval.AnswerMetric;
import ai.nibble.eval.AnswerReport;
import ai.nibble.eval.Answers;
import ai.nibble.eval.Question;
import ai.nibble.generate.GenerationSettings;
import ai.nibble.generate.Generator;
import ai.nibble.generate.Sampler;
import ai.nibble.generate.StopRule;
import ai.nibble.generate.StopTokens;
import ai.nibble.model.CausalLm;
import ai.nibble.model.ModelConfig;
import ai.nibble.model.ModelStore;
import ai.nibble.model.WeightSource;
import ai.nibble.train.log.AnswerMetrics;
import ai.nibble.train.log.AnswerSamples;
import ai.nibble.train.log.TrainListener;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;

/** The answers to held-out rows before and after training, as {@code generation_eval} asks. */
final class AnswerCheck implements AutoCloseable {
  static final String FILE = "answers.jsonl";

  private final GenerationEval settings;
  private final Path directory;
  private final PrintStream out;
  private final AnswerMetric metric;
  private final Tokenizer tokenizer;
  private final PromptEncoder prompts;
  private final List<Question> questions;
  private Runnable eachToken = () -> {};
  private Answers before;

  /**
   * Reads the rows.
   *
   * @param recipe asks for it
   * @param out progress goes there
   * @throws InvalidInputException for a row that has no answer, none that can be compared, or a
   *     question that the model cannot go on from
   */
  AnswerCheck(Recipe recipe, PrintStream out) {
    this.settings = recipe.evaluation().generationEval().orElseThrow();
    this.directory = WeightSource.directory(recipe.base());
    this.out = out;
    this.metric = settings.metric();
    ChatTemplate template = RecipeRows.template(recipe);
    ModelConfig model = ModelConfig.read(directory.resolve(ModelStore.CONFIG), notice -> {});
    this.tokenizer = Tokenizer.load(directory);
    this.prompts = new PromptEncoder(tokenizer, template, model);
    String type = settings.type().name().toLowerCase(Locale.ROOT);
    Dataset dataset = settings.dataset();
    try (RowFiles rows = dataset.open()) {
      questions =
          Question.read(
              dataset.name(), dataset.limited(rows), RowFormat.named(type), prompts, metric);
    } catch (InvalidInputException e) {
      tokenizer.close();
      String where = recipe.where("generation_eval.path");
      throw new InvalidInputException(e.problems().stream().map(p -> where + ": " + p).toList());
    } catch (RuntimeException e) {
      tokenizer.close();
      throw e;
    }
  }

  /** Warns of questions that are trained on. */
  void compare(List<Example> train) {
    OverlapCheck.warningOfQuestions(train, questions).ifPresent(out::println);
  }

  /** The rows' questions, in their order. */
  List<Question> questions() {
    return questions;
  }

  /**
   * Ends answering between two tokens by what this throws.
   *
   * @param check called for each token of each answer
   */
  void eachToken(Runnable check) {
    eachToken = check;
  }

  /**
   * Takes the answers before training that an earlier part of the run has written, and forgets
   * those of other questions or of other settings.
   *
   * @param output as that part left it
   * @return whether there were any
   */
  boolean takeBefore(Path output) throws IOException {
    Path file = output.resolve(FILE);
    if (TrainedWith.generationEval(output).equals(Optional.of(settings))) {
      before = new AnswerReport(questions).readBefore(file).orElse(null);
    }
    if (before == null) {
      Files.deleteIfExists(file); // the recipe beside it will be this run's
    }
    return before != null;
  }

  /**
   * Answers before training, printed and written; done already where they were {@linkplain
   * #takeBefore taken}.
   *
   * @param listeners are told
   */
  void before(CausalLm model, Path output, List<TrainListener> listeners) throws IOException {
    if (before != null) {
      out.println("the answers before training are those in " + output.resolve(FILE));
      return;
    }
    before = answers(model);
    report(output, Optional.empty());
    tell(listeners, 0, before);
  }

  /** Answers after training, printed and written beside those before. */
  void after(CausalLm model, Path output, int step, List<TrainListener> listeners)
      throws IOException {
    Answers after = answers(model);
    report(output, Optional.of(after));
    tell(listeners, step, after);
  }

  private void tell(List<TrainListener> listeners, int step, Answers answers) {
    List<AnswerSamples.Sample> samples = new ArrayList<>();
    for (int i = 0; i < Math.min(settings.show(), questions.size()); i++) {
      Answers.Answer answer = answers.answers().get(i);
      Question question = questions.get(i);
      samples.add(
          new AnswerSamples.Sample(
              question.request(), question.expected(), answer.text(), answer.right()));
    }
    AnswerMetrics metrics = metrics(step, answers);
    AnswerSamples shown = new AnswerSamples(step, samples);
    listeners.forEach(l -> l.answered(metrics));
    listeners.forEach(l -> l.answersShown(shown));
  }

  private Answers answers(CausalLm model) {
    StopRule untilAsked =
        () ->
            token -> {
              eachToken.run();
              return false;
            };
    GenerationSettings greedy =
        new GenerationSettings(
                settings.maxNewTokens(),
                StopTokens.of(directory, model.config(), tokenizer, prompts),
                Sampler.GREEDY,
                untilAsked)
            .within(tokenizer);
    try (Generator generator = new Generator(model)) {
      out.println(generator.description());
      out.flush();
      return Answers.of(generator, tokenizer, questions, metric, greedy);
    }
  }

  private void report(Path output, Optional<Answers> after) throws IOException {
    AnswerReport report = new AnswerReport(questions);
    report.print(out, settings.show(), before, after);
    report.write(output.resolve(FILE), before, after);
  }

  private static AnswerMetrics metrics(int step, Answers answers) {
    return new AnswerMetrics(
        step, answers.right(), answers.answers().size(), answers.tokens(), answers.seconds());
  }

  @Override
  public void close() {
    tokenizer.close();
  }
}
