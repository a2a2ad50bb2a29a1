package ai.nibble.report;

import ai.nibble.train.log.Console;
import java.nio.file.Path;
import java.time.Instant;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.time.format.DateTimeParseException;
import java.util.List;
import java.util.Locale;
import java.util.Optional;

/** The head of the page: what it was, how it ended, and the few numbers that matter. */
final class SummarySection {
  private static final DateTimeFormatter DATE =
      DateTimeFormatter.ofPattern("d MMMM yyyy, HH:mm 'UTC'", Locale.ENGLISH)
          .withZone(ZoneOffset.UTC);

  private final RunFolder folder;
  private final Metrics metrics;

  SummarySection(RunFolder folder) {
    this.folder = folder;
    this.metrics = folder.metrics();
  }

  void write(Html html) {
    html.raw("<header>\n").element("p", "eyebrow", "Training run");
    html.element("h1", folder.name()).raw("\n");
    status(html);
    folder.run().ifPresent(run -> lead(html, run));
    html.raw("</header>\n<dl class=\"figures\">\n");
    loss(html);
    evalLoss(html);
    rewardMargin(html);
    exactMatch(html);
    work(html);
    memory(html);
    folder.run().ifPresent(run -> trained(html, run.model()));
    html.raw("</dl>\n");
  }

  private void status(Html html) {
    String last = "step " + count(metrics.lastStep());
    String steps = folder.run().map(run -> last + " of " + count(run.totalSteps())).orElse(last);
    String status = folder.status();
    int colon = status.indexOf(':');
    String word = colon < 0 ? status : status.substring(0, colon);
    switch (word) {
      case RunFile.RUNNING, "" -> html.element("p", "status open", "Not ended · " + steps);
      default -> {
        boolean good = word.startsWith(RunFile.FINISHED) || word.startsWith("stopped early");
        String type =
            good ? "status good" : word.startsWith("failed") ? "status bad" : "status open";
        String words = word.substring(0, 1).toUpperCase(Locale.ROOT) + word.substring(1);
        html.element("p", type, words + " · " + steps);
      }
    }
    if (colon >= 0) {
      html.element("p", "reason", status.substring(colon + 1).strip());
    }
  }

  private static String count(long n) {
    return Html.count(n);
  }

  private void lead(Html html, RunFile run) {
    String method =
        switch (run.model().adapter()) {
          case "qlora" -> "QLoRA on ";
          case "lora" -> "LoRA on ";
          default -> "All weights of ";
        };
    Path base = Path.of(run.model().base()).getFileName();
    double seconds = run.sessions().stream().mapToDouble(RunFile.Session::seconds).sum();
    html.raw("<p class=\"lead\">").text(method).element("b", String.valueOf(base));
    html.text(" · " + Console.duration(seconds));
    html.text(" · " + date(run.sessions().get(0).started())).raw("</p>\n");
  }

  static String date(String iso) {
    try {
      return DATE.format(Instant.parse(iso));
    } catch (DateTimeParseException e) {
      return iso; // as it was written
    }
  }

  private static void figure(Html html, String name, String value, String more) {
    html.raw("<div>").element("dt", name).raw("<dd>").text(value);
    html.element("small", more).raw("</dd></div>\n");
  }

  private void loss(Html html) {
    Metrics.Series loss = metrics.of(Metrics.Field.LOSS);
    if (loss.size() > 0) {
      double last = Curve.smoothed("", loss).last();
      int window = Math.min(loss.size(), Curve.window(loss.size()));
      String more = "last " + count(window) + " steps; first " + Html.number(loss.first());
      figure(html, "Training loss", Html.number(last), more);
    }
  }

  private void evalLoss(Html html) {
    Metrics.Series eval = metrics.of(Metrics.Field.EVAL_LOSS);
    if (eval.size() == 0) {
      return;
    }
    int best = 0;
    for (int i = 1; i < eval.size(); i++) {
      best = eval.value(i) < eval.value(best) ? i : best;
    }
    int end = eval.size() - 1;
    int shown = eval.indexOf(folder.resultStep().orElse(eval.step(end))).orElse(end);
    String more = "at step " + count(eval.step(shown));
    if (shown != end) {
      more += ", the result; last " + at(eval, end);
    } else if (eval.size() > 1) {
      more += "; best " + at(eval, best);
    }
    figure(html, "Evaluation loss", Html.number(eval.value(shown)), more);
  }

  private static String at(Metrics.Series series, int i) {
    return Html.number(series.value(i)) + " at step " + count(series.step(i));
  }

  /** Of preferences: by how much the better answers are worth more. */
  private void rewardMargin(Html html) {
    Metrics.Series eval = metrics.of(Metrics.Field.EVAL_REWARD_MARGIN);
    Metrics.Series steps = metrics.of(Metrics.Field.REWARD_MARGIN);
    if (eval.size() > 0) {
      Metrics.Series right = metrics.of(Metrics.Field.EVAL_REWARD_ACCURACY);
      String more =
          right.size() == 0
              ? "of the evaluation rows"
              : "of the evaluation rows; " + Html.percent(right.last()) + " the right way round";
      figure(html, "Reward margin", Html.number(eval.last()), more);
    } else if (steps.size() > 0) {
      String more = "smoothed; first " + Html.number(steps.first());
      figure(html, "Reward margin", Html.number(Curve.smoothed("", steps).last()), more);
    }
  }

  private void exactMatch(Html html) {
    List<RunFolder.Answer> answers = folder.answers();
    if (answers.isEmpty()) {
      return;
    }
    long before = answers.stream().filter(RunFolder.Answer::beforeRight).count();
    long after = answers.stream().filter(RunFolder.Answer::afterRight).count();
    boolean isOver = answers.stream().allMatch(answer -> answer.after() != null);
    double rows = answers.size();
    figure(
        html,
        "Exact match",
        Html.percent((isOver ? after : before) / rows),
        isOver
            ? "of " + answers.size() + " answers; before training " + Html.percent(before / rows)
            : "of " + answers.size() + " answers, before training");
  }

  private void work(Html html) {
    Metrics.Series tokens = metrics.of(Metrics.Field.TOKENS);
    Metrics.Series epochs = metrics.of(Metrics.Field.EPOCH);
    Metrics.Series speed = metrics.of(Metrics.Field.TOKENS_PER_SECOND);
    if (tokens.size() > 0) {
      String more = String.format(Locale.ROOT, "%.2f epochs", epochs.last());
      figure(html, "Tokens", Html.shortCount((long) tokens.last()), more);
    }
    if (speed.size() > 0) {
      String seconds = String.format(Locale.ROOT, "%,.0f", speed.median());
      figure(html, "Tokens a second", seconds, "median of the steps");
    }
  }

  private void memory(Html html) {
    double[] memory = metrics.of(Metrics.Field.MEMORY).sorted();
    double peak = memory.length == 0 ? 0 : memory[memory.length - 1];
    boolean onGpu =
        folder
            .run()
            .map(RunFile::environment)
            .filter(environment -> environment.device().startsWith("cuda"))
            .isPresent();
    Optional<RunFile> run = onGpu ? Optional.empty() : folder.run();
    long process =
        run.stream()
            .flatMap(r -> r.sessions().stream())
            .mapToLong(RunFile.Session::peakMemoryBytes)
            .max()
            .orElse(0);
    long most = Math.max(process, (long) peak);
    if (most > 0) {
      figure(html, "Peak memory", Console.bytes(most), onGpu ? "of the GPU" : "of the process");
    }
  }

  private static void trained(Html html, RunFile.Model model) {
    String more =
        model.modules() == 0 ? "all weights" : "on " + count(model.modules()) + " modules";
    figure(html, "Trained weights", Html.shortCount(model.trainedParameters()), more);
  }
}
