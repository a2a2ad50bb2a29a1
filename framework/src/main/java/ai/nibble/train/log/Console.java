package ai.nibble.train.log;

import java.io.PrintStream;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.Locale;
import java.util.function.LongSupplier;

/**
 * The run as a person sees it: one line a step in fixed order, and on a terminal a progress bar
 * below, redrawn in place.
 *
 * <pre>
 * step 12/300  loss 1.2345  lr 2.00e-04  grad_norm 0.512  tokens/s 1234  ETA 3m12s  memory 2.1 GiB
 * [###---------------]  17%  51/300  loss 1.2310  1229 tokens/s  ETA 3m11s  2.1 GiB
 * </pre>
 *
 * A line is printed for every step whose number {@code logging_steps} divides, and for the last.
 * Where the output is no terminal there is no bar and every line stands for itself.
 */
public final class Console implements TrainListener {
  /** Columns of the bar's line, which a terminal of 80 does not wrap. */
  private static final int COLUMNS = 79;

  /** Characters between the bar's brackets: what the figures leave, but not more or less. */
  private static final int SHORTEST_BAR = 4;

  private static final int LONGEST_BAR = 24;

  /** What remains is told by the pace of so many steps: it follows a change, and is steady. */
  private static final int PACE_STEPS = 20;

  private final PrintStream out;
  private final boolean interactive;
  private final int loggingSteps;
  private final LongSupplier nanoTime;
  private final Deque<Moment> lately = new ArrayDeque<>();
  private int drawn;

  /** When a step had ended, or the first began. */
  private record Moment(int step, long nanos) {}

  /**
   * @param out where to print; not closed
   * @param interactive whether it is a terminal
   * @param loggingSteps steps from one line to the next, at least 1
   */
  public Console(PrintStream out, boolean interactive, int loggingSteps) {
    this(out, interactive, loggingSteps, System::nanoTime);
  }

  Console(PrintStream out, boolean interactive, int loggingSteps, LongSupplier nanoTime) {
    if (loggingSteps < 1) {
      throw new IllegalArgumentException(
          "logging_steps is " + loggingSteps + ", expected at least 1");
    }
    this.out = out;
    this.interactive = interactive;
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
              "step %d/%d  loss %.4f  lr %.2e  grad_norm %.3f  tokens/s %.0f  ETA %s  memory %s",
              m.step(),
              m.totalSteps(),
              m.loss(),
              m.learningRate(),
              m.gradNorm(),
              m.tokensPerSecond(),
              eta,
              bytes(m.memoryBytes())));
    }
    if (interactive && m.step() < m.totalSteps()) {
      draw(bar(m, eta));
    }
  }

  @Override
  public void evaluated(EvalMetrics m) {
    line(
        String.format(
            Locale.ROOT,
            "eval at step %d  eval_loss %.4f  tokens %d  took %s",
            m.step(),
            m.evalLoss(),
            m.tokens(),
            duration(m.seconds())));
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
            end.reason(),
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

  private static String bar(StepMetrics m, String eta) {
    double share = m.totalSteps() == 0 ? 1 : Math.min(1, (double) m.step() / m.totalSteps());
    String figures =
        String.format(
            Locale.ROOT,
            "] %3d%%  %d/%d  loss %.4f  %.0f tokens/s  ETA %s  %s",
            (int) (share * 100),
            m.step(),
            m.totalSteps(),
            m.loss(),
            m.tokensPerSecond(),
            eta,
            bytes(m.memoryBytes()));
    int room = COLUMNS - 1 - figures.length();
    int width = Math.max(SHORTEST_BAR, Math.min(LONGEST_BAR, room));
    int full = (int) (share * width);
    return "[" + "#".repeat(full) + "-".repeat(width - full) + figures;
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
  static String duration(double seconds) {
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
  static String bytes(long bytes) {
    double mebi = bytes / (1024.0 * 1024);
    return mebi < 1024
        ? String.format(Locale.ROOT, "%.0f MiB", mebi)
        : String.format(Locale.ROOT, "%.1f GiB", mebi / 1024);
  }
}
