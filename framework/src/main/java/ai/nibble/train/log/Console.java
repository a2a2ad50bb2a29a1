package ai.nibble.train.log;

import java.io.PrintStream;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.function.LongSupplier;

/**
 * The run as a person sees it: one line a step in fixed order, and on a terminal a progress bar
 * below, redrawn in place.
 *
 * <pre>
 * step 12/300  epoch 0.04  loss 1.2345  lr 2.00e-04  grad_norm 0.512  tokens/s 1234  memory 2.1 GiB  tokens 9876  ETA 3m12s
 * [###---------------]  17%  51/300  loss 1.2310  1229 tokens/s  ETA 3m11s  2.1 GiB
 * </pre>
 *
 * A line is printed for every step whose number {@code logging_steps} divides, and for the last:
 * the fields of {@code metrics.jsonl} in their order, then what remains; of preferences behind the
 * loss the margin and the accuracy of the rewards, and how far the model is from its reference.
 * Where the output is no terminal there is no bar and every line stands for itself. On a narrow
 * terminal the bar leaves out what does not fit.
 */
public final class Console implements TrainListener {
  /** A terminal's, where nothing else is known. */
  public static final int COLUMNS = 80;

  /** Characters between the bar's brackets: what the figures leave. */
  private static final int SHORTEST_BAR = 4;

  private static final int LONGEST_BAR = 24;

  /** What remains is told by the pace of so many steps: it follows a change, and is steady. */
  private static final int PACE_STEPS = 20;

  private final PrintStream out;
  private final int columns;
  private final int loggingSteps;
  private final LongSupplier nanoTime;
  private final Deque<Moment> lately = new ArrayDeque<>();
  private int drawn;

  /** When a step had ended, or the first began. */
  private record Moment(int step, long nanos) {}

  /**
   * @param out where to print; not closed
   * @param columns of the terminal that it is; 0: it is none
   * @param loggingSteps steps from one line to the next, at least 1
   */
  public Console(PrintStream out, int columns, int loggingSteps) {
    this(out, columns, loggingSteps, System::nanoTime);
  }

  Console(PrintStream out, int columns, int loggingSteps, LongSupplier nanoTime) {
    if (loggingSteps < 1) {
      throw new IllegalArgumentException(
          "logging_steps is " + loggingSteps + ", expected at least 1");
    }
    this.out = out;
    this.columns = columns;
    this.loggingSteps = loggingSteps;
    this.nanoTime = nanoTime;
  }

  @Override
  public void runStarted(RunInfo run) {
    lately.clear();
    lately.add(new Moment(run.firstStep(), nanoTime.getAsLong()));
    line(
        run.firstStep() == 0
            ? "run " + run.name() + ": " + run.totalSteps() + " steps"
            : "run "
                + run.name()
                + ": steps "
                + (run.firstStep() + 1)
                + " to "
                + run.totalSteps()
                + ", resumed");
  }

  @Override
  public void stepEnded(StepMetrics m) {
    String eta = eta(m);
    if (m.step() % loggingSteps == 0 || m.step() == m.totalSteps()) {
      line(
          String.format(
              Locale.ROOT,
              "step %d/%d  epoch %.2f  loss %.4f%s  lr %.2e  grad_norm %.3f  tokens/s %.0f  memory %s"
                  + "  tokens %d  ETA %s",
              m.step(),
              m.totalSteps(),
              m.epoch(),
              m.loss(),
              rewards(m.measures()),
              m.learningRate(),
              m.gradNorm(),
              m.tokensPerSecond(),
              bytes(m.memoryBytes()),
              m.tokens(),
              eta));
    }
    if (columns > 0 && m.step() < m.totalSteps()) {
      draw(bar(m, eta));
    }
  }

  @Override
  public void evaluated(EvalMetrics m) {
    line(
        String.format(
            Locale.ROOT,
            "eval at step %d  epoch %.2f  eval_loss %.4f%s  tokens %d  took %s",
            m.step(),
            m.epoch(),
            m.evalLoss(),
            rewards(m.measures()),
            m.tokens(),
            duration(m.seconds())));
  }

  /**
   * Of preferences, by how much the better answers are worth more, how often they are, and how far
   * the model is from its reference: those of them that the objective tells.
   */
  private static String rewards(Map<String, Double> measures) {
    StringBuilder shown = new StringBuilder();
    for (String name : List.of("rewards/margins", "rewards/accuracies", "kl")) {
      if (measures.containsKey(name)) {
        shown.append(String.format(Locale.ROOT, "  %s %.4f", name, measures.get(name)));
      }
    }
    return shown.toString();
  }

  @Override
  public void answered(AnswerMetrics m) {
    line(
        String.format(
            Locale.ROOT,
            "exact match %.1f %% (%d of %d) at step %d, %d tokens in %s",
            100 * m.exactMatch(),
            m.right(),
            m.rows(),
            m.step(),
            m.tokens(),
            duration(m.seconds())));
  }

  @Override
  public void noticed(RunNotice notice) {
    line(notice.text());
  }

  /** Prints a line of its own. */
  public void say(String text) {
    line(text);
  }

  @Override
  public void saved(Path path) {
    line("saved " + path);
  }

  @Override
  public void runEnded(RunEnd end) {
    line(
        String.format(
            Locale.ROOT,
            "%s at step %d after %s, peak memory %s",
            end.outcome(),
            end.step(),
            duration(end.seconds()),
            bytes(ProcessMemory.peakBytes())));
  }

  /** A line of its own; a bar that stood there is drawn again by the next step. */
  private void line(String text) {
    draw("");
    out.println(text);
    out.flush();
  }

  /** Replaces the bar. Blanks rather than a control sequence, so that any terminal will do. */
  private void draw(String text) {
    if (drawn > 0) {
      out.print("\r" + " ".repeat(drawn) + "\r");
    }
    out.print(text);
    out.flush();
    drawn = text.length();
  }

  /** The last column stays free: a terminal would begin a new line behind it. */
  private String bar(StepMetrics m, String eta) {
    double share = m.totalSteps() == 0 ? 1 : Math.min(1, (double) m.step() / m.totalSteps());
    StringBuilder figures =
        new StringBuilder(String.format(Locale.ROOT, "] %3d%%", (int) (share * 100)));
    int room = columns - 1 - "[".length() - SHORTEST_BAR;
    for (String figure :
        List.of(
            m.step() + "/" + m.totalSteps(),
            String.format(Locale.ROOT, "loss %.4f", m.loss()),
            String.format(Locale.ROOT, "%.0f tokens/s", m.tokensPerSecond()),
            "ETA " + eta,
            bytes(m.memoryBytes()))) {
      if (figures.length() + 2 + figure.length() > room) {
        break; // those behind matter less
      }
      figures.append("  ").append(figure);
    }
    int width = Math.max(0, Math.min(LONGEST_BAR, room + SHORTEST_BAR - figures.length()));
    int full = (int) (share * width);
    String bar = "[" + "#".repeat(full) + "-".repeat(width - full) + figures;
    return bar.substring(0, Math.min(bar.length(), Math.max(0, columns - 1)));
  }

  /** What remains, at the pace of the last steps, evaluations and checkpoints among them. */
  private String eta(StepMetrics m) {
    lately.add(new Moment(m.step(), nanoTime.getAsLong()));
    while (lately.size() > PACE_STEPS + 1) {
      lately.remove();
    }
    int steps = m.step() - lately.getFirst().step();
    if (steps < 1) {
      return "?";
    }
    double secondsPerStep = (lately.getLast().nanos() - lately.getFirst().nanos()) / 1e9 / steps;
    return duration(secondsPerStep * Math.max(0, m.totalSteps() - m.step()));
  }

  /** {@code 42s}, {@code 3m12s}, {@code 5h04m}, {@code 2d03h}. */
  public static String duration(double seconds) {
    long s = Math.round(seconds);
    if (s < 60) {
      return s + "s";
    }
    if (s < 3600) {
      return String.format(Locale.ROOT, "%dm%02ds", s / 60, s % 60);
    }
    if (s < 86_400) {
      return String.format(Locale.ROOT, "%dh%02dm", s / 3600, s / 60 % 60);
    }
    return String.format(Locale.ROOT, "%dd%02dh", s / 86_400, s / 3600 % 24);
  }

  /** {@code 812 MiB}, {@code 2.1 GiB}. */
  public static String bytes(long bytes) {
    double mebi = bytes / (1024.0 * 1024);
    return mebi < 1024
        ? String.format(Locale.ROOT, "%.0f MiB", mebi)
        : String.format(Locale.ROOT, "%.1f GiB", mebi / 1024);
  }
}
