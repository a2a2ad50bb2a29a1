package ai.nibble.cli;

import ai.nibble.FileProblem;
import ai.nibble.InvalidInputException;
import ai.nibble.StagedFile;
import ai.nibble.WholeFile;
import ai.nibble.data.ChatTemplate;
import ai.nibble.eval.AnswerTask;
import ai.nibble.eval.ChoiceTask;
import ai.nibble.eval.EvalTask;
import ai.nibble.eval.Evaluation;
import ai.nibble.eval.Evaluation.Measured;
import ai.nibble.eval.FewShot;
import ai.nibble.eval.ModelText;
import ai.nibble.eval.PerplexityTask;
import ai.nibble.eval.ResultTable;
import ai.nibble.eval.ResultsFile;
import ai.nibble.eval.Variant;
import ai.nibble.eval.task.ChoiceFormat;
import ai.nibble.eval.task.Example;
import ai.nibble.eval.task.Problem;
import ai.nibble.lora.AdapterConfigFile;
import ai.nibble.model.WeightSource;
import ai.nibble.recipe.TrainedWith;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Function;

/** Reads what an {@link EvaluateRequest} names, measures, and shows the table. */
final class EvaluationRun {
  private final EvaluateRequest request;
  private final PrintWriter out;
  private final PrintWriter err;
  private final Optional<TrainedWith> trained;

  EvaluationRun(EvaluateRequest request, PrintWriter out, PrintWriter err) {
    this.request = request;
    this.out = out;
    this.err = err;
    this.trained = request.adapter().flatMap(TrainedWith::read);
  }

  void run() {
    // what takes hours must not end in a place that cannot be written
    request.json().ifPresent(StagedFile::requirePlace);
    request.results().ifPresent(StagedFile::requirePlace);
    request.adapter().ifPresent(AdapterConfigFile::read);
    Path base = base();
    WeightSource.requireModel(base);
    List<Variant> variants =
        new Variants(base, request.adapter(), trained, request.computeDtype(), request.devices())
            .named(request.compare());
    ResultsFile results = request.results().map(ResultsFile::open).orElseGet(ResultsFile::inMemory);
    Path directory = WeightSource.directory(base);
    String name = base.toAbsolutePath().normalize().getFileName().toString();
    try (ModelText text = ModelText.load(directory, template(directory))) {
      Evaluation evaluation =
          new Evaluation(name, text, tasks(text), results, request.batchTokens(), this::note);
      show(name, evaluation.run(variants, request.cost()));
    }
  }

  private void show(String name, List<Measured> measured) {
    ResultTable table = new ResultTable(measured);
    out.println(name);
    out.println();
    out.print(table.markdown());
    out.flush();
    request.json().ifPresent(file -> write(file, table.json(name)));
  }

  static void write(Path file, String text) {
    try {
      WholeFile.write(file, text);
    } catch (IOException e) {
      throw new UncheckedIOException(file + ": cannot be written: " + FileProblem.reason(e), e);
    }
  }

  /** The base that was given, or that the adapter names and that is there. */
  private Path base() {
    if (request.model().isPresent()) {
      return request.model().get();
    }
    Path named = BaseOfAdapter.find(request.adapter().orElseThrow(), trained);
    note("base model " + named);
    return named;
  }

  private Optional<ChatTemplate> template(Path directory) {
    if (!request.chat()) {
      return Optional.empty();
    }
    Optional<Path> file = trained.flatMap(TrainedWith::chatTemplate);
    return Optional.of(
        file.isPresent()
            ? ChatTemplate.load(file.get(), directory, Map.of())
            : ChatTemplate.load(directory, Map.of()));
  }

  /** All tasks; what is wrong with several files is said at once. */
  private List<EvalTask<?>> tasks(ModelText text) {
    List<EvalTask<?>> tasks = new ArrayList<>();
    List<String> problems = new ArrayList<>();
    for (TaskOption option : request.tasks()) {
      try {
        tasks.add(task(option, text));
      } catch (InvalidInputException e) {
        problems.addAll(e.problems());
      }
    }
    if (!problems.isEmpty()) {
      throw new InvalidInputException(problems);
    }
    return tasks;
  }

  private EvalTask<?> task(TaskOption option, ModelText text) {
    String name = option.name();
    int limit = request.limits().number("--limit", name, 1, Integer.MAX_VALUE);
    if (option.kind().equals(TaskOption.PERPLEXITY)) {
      int window = request.window().orElse(Math.min(EvaluateRequest.WINDOW, text.mostTokens()));
      int stride = request.stride().orElse(window);
      return new PerplexityTask(name, option.file(), window, stride, limit);
    }
    if (option.kind().equals(TaskOption.GSM8K)) {
      List<Problem> problems = Problem.read(option.file());
      FewShot<Problem> examples = fewShot(name, problems, Problem::read);
      return new AnswerTask(name, problems, examples, request.maxNewTokens(), limit);
    }
    ChoiceFormat format = ChoiceFormat.named(option.kind()).orElseThrow();
    var items = format.read(option.file());
    return new ChoiceTask(name, items, fewShot(name, items, format::read), limit);
  }

  private <T extends Example> FewShot<T> fewShot(
      String task, List<T> items, Function<Path, List<T>> reader) {
    int count = request.numFewshot().number("--num-fewshot", task, 0, 0);
    String file = request.fewshotFiles().of(task, "");
    if (count == 0) {
      return FewShot.none();
    }
    return file.isEmpty()
        ? new FewShot<>(count, request.fewshotSeed(), items, true)
        : new FewShot<>(count, request.fewshotSeed(), reader.apply(Path.of(file)), false);
  }

  private void note(String line) {
    err.println("note: " + line);
    err.flush();
  }
}
