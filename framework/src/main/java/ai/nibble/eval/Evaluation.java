package ai.nibble.eval;

import ai.nibble.eval.ResultsFile.Key;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Consumer;

/**
 * Measures some models on some tasks, one model in memory at a time. What a results file has
 * already is not computed again, and a model of which all is there is not loaded.
 */
public final class Evaluation {
  /** The name under which costs stand beside the tasks of a results file. */
  static final String COST = "cost";

  private static final long NANOS_A_NOTE = 10_000_000_000L;

  private final String model;
  private final ModelText text;
  private final List<EvalTask<?>> tasks;
  private final ResultsFile results;
  private final int batchTokens;
  private final Consumer<String> notes;

  /**
   * @param model what the base is called in results
   * @param batchTokens tokens computed at once, unless a single item has more
   * @param notes takes a line now and then
   */
  public Evaluation(
      String model,
      ModelText text,
      List<EvalTask<?>> tasks,
      ResultsFile results,
      int batchTokens,
      Consumer<String> notes) {
    this.model = model;
    this.text = text;
    this.tasks = List.copyOf(tasks);
    this.results = results;
    this.batchTokens = batchTokens;
    this.notes = notes;
  }

  /**
   * Measures the variants.
   *
   * @param withCost whether also what each takes to run; for an honest peak of memory a process
   *     measures one variant alone
   * @throws ai.nibble.InvalidInputException if results are there that were made under other
   *     settings; nothing was computed then
   */
  public List<Measured> run(List<Variant> variants, boolean withCost) {
    // whatever may be refused is before anything is computed
    variants.forEach(variant -> tasks.forEach(task -> begun(variant, task)));
    List<Measured> measured = new ArrayList<>();
    for (Variant variant : variants) {
      measured.add(measure(variant, withCost));
    }
    return measured;
  }

  private <R extends Record> List<R> begun(Variant variant, EvalTask<R> task) {
    Map<String, String> settings = new LinkedHashMap<>(task.settings(text));
    settings.putAll(variant.settings());
    settings.put("tokenizer", text.fingerprint());
    task.items(text);
    return new ArrayList<>(results.begin(key(variant, task.name()), settings, task.resultType()));
  }

  private Key key(Variant variant, String task) {
    return new Key(task, model, variant.name());
  }

  private Measured measure(Variant variant, boolean withCost) {
    Key cost = key(variant, COST);
    boolean costIsDue = withCost && results.cost(cost).isEmpty();
    boolean due = costIsDue || tasks.stream().anyMatch(task -> isDue(variant, task));
    Map<String, List<Metric>> metrics = new LinkedHashMap<>();
    try (Subject subject = due ? load(variant) : null) {
      for (EvalTask<?> task : tasks) {
        metrics.put(task.name(), metrics(variant, task, subject, costIsDue));
      }
      if (costIsDue) {
        results.putCost(cost, Cost.of(subject));
      }
    }
    return new Measured(variant.name(), variant.weights(), metrics, results.cost(cost));
  }

  private Subject load(Variant variant) {
    notes.accept(
        "%s: weights %s, compute dtype %s%s"
            .formatted(
                variant.name(),
                variant.weights(),
                variant.computeDtype().torchName(),
                variant.adapter().map(a -> ", adapter " + a).orElse("")));
    return Subject.load(variant, text, batchTokens, notes);
  }

  private <R extends Record> boolean isDue(Variant variant, EvalTask<R> task) {
    return begun(variant, task).size() < task.items(text);
  }

  private <R extends Record> List<Metric> metrics(
      Variant variant, EvalTask<R> task, Subject subject, boolean costIsDue) {
    List<R> all = begun(variant, task);
    int items = task.items(text);
    if (all.size() < items) {
      Progress progress = new Progress(variant, task, items, all.size());
      task.evaluate(
          subject,
          all.size(),
          items,
          batch -> {
            results.add(key(variant, task.name()), batch);
            all.addAll(batch);
            progress.done(all.size());
          });
    } else if (costIsDue) {
      // for memory and speed this process must have computed what others have
      task.evaluate(subject, 0, Math.min(items, 2), batch -> {});
    }
    List<R> counted = all.subList(0, items);
    task.remarks(counted).forEach(notes);
    return task.metrics(counted);
  }

  /** Says how far a measurement is, now and then. */
  private final class Progress {
    private final String name;
    private final int items;
    private final long start = System.nanoTime();
    private long last = start;

    Progress(Variant variant, EvalTask<?> task, int items, int before) {
      this.name = variant.name() + ": " + task.name();
      this.items = items;
      if (before > 0) {
        notes.accept("%s: %d of %d items are there already".formatted(name, before, items));
      }
    }

    void done(int count) {
      long now = System.nanoTime();
      if (now - last > NANOS_A_NOTE || count == items) {
        double seconds = (now - start) / 1e9;
        notes.accept(
            String.format(
                java.util.Locale.ROOT, "%s: %d of %d items, %.0f s", name, count, items, seconds));
        last = now;
      }
    }
  }

  /**
   * What was measured of a variant.
   *
   * @param weights how it holds them, for people
   * @param metrics by the tasks' names, in their order
   */
  public record Measured(
      String variant, String weights, Map<String, List<Metric>> metrics, Optional<Cost> cost) {}
}
