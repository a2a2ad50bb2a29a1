package ai.nibble.train;

import ai.nibble.checkpoint.PartState;
import ai.nibble.train.log.RunNotice;
import ai.nibble.train.log.RunNotice.Kind;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;

/**
 * Looks at every step's loss: whether it is finite, far above the ones before it, above a limit, or
 * no longer falling.
 *
 * <p>"Far above" is by the median of the last {@value #WINDOW} losses that were applied, which a
 * single bad one does not move: more than the recipe's factor times it, and at least {@value
 * #LEAST_RISE} nats above it, so that the noise of a loss near zero is none. Gradients are judged
 * by the same kind of median, and told of only: {@code max_grad_norm} has clipped them.
 */
final class LossWatchdog {
  /** Name of what a checkpoint holds of it. */
  static final String PART = "loss_watchdog";

  private static final int WINDOW = 64;

  /** Before so many there is no median to speak of: the recipe's key tells of that. */
  private static final int LEAST = 8;

  private static final double LEAST_RISE = 1;

  /** Norms of single steps differ by ten and more in sound runs. */
  private static final double GRADIENT_FACTOR = 100;

  private final WatchdogSettings settings;
  private final int lossesKept;
  private final Deque<Double> losses = new ArrayDeque<>();
  private final Deque<Double> norms = new ArrayDeque<>();
  private int failing;
  private int skipped;
  private int lastApplied;

  /** The last step whose weights gave a finite loss afterwards; 0: those before the first did. */
  private int proven = -1;

  /** Whether an evaluation with the weights as they are gave a loss that is not finite. */
  private boolean disproved;

  private int plateauFrom;

  /**
   * What follows from a step.
   *
   * @param notice to be told, if any
   * @param stop whether the run ends, for the notice's reason
   */
  record Verdict(Optional<RunNotice> notice, boolean stop) {
    private static final Verdict FINE = new Verdict(Optional.empty(), false);
  }

  LossWatchdog(WatchdogSettings settings) {
    this.settings = settings;
    this.lossesKept = Math.max(WINDOW, 2 * settings.plateauSteps());
  }

  /** A loss above it must not be applied; infinite where none is. */
  double mostLoss() {
    boolean prevents = settings.onSpike() == OnSpike.SKIP || settings.onSpike() == OnSpike.STOP;
    return prevents ? spikeAbove() : Double.POSITIVE_INFINITY;
  }

  private double spikeAbove() {
    if (losses.size() < LEAST || settings.onSpike() == OnSpike.OFF) {
      return Double.POSITIVE_INFINITY;
    }
    double median = median(losses, WINDOW, 0);
    return Math.max(settings.spikeFactor() * median, median + LEAST_RISE);
  }

  /**
   * Judges a step.
   *
   * @param step its number, from 1
   */
  Verdict judge(int step, TrainStep.Outcome outcome) {
    if (Double.isFinite(outcome.loss())) {
      prove(); // computed before the step's own update
    }
    if (outcome.overflow()) {
      return told(
          step,
          Kind.LOSS_SCALE,
          "gradients overflow float16: not applied, the loss scale is halved");
    }
    Optional<Kind> broken = broken(outcome);
    boolean spike = outcome.loss() > spikeAbove();
    double normLimit = norms.size() < LEAST ? 0 : GRADIENT_FACTOR * median(norms, WINDOW, 0);
    if (outcome.applied()) {
      lastApplied = step;
      keep(losses, outcome.loss(), lossesKept);
      keep(norms, outcome.gradNorm(), WINDOW);
    } else {
      skipped++;
    }
    if (broken.isPresent()) {
      failing++;
      return brokenStep(step, outcome, broken.get());
    }
    failing = 0;
    if (spike) {
      return told(step, Kind.SPIKE, numbers(outcome, false) + ", far above the median before it");
    }
    if (normLimit > 0 && settings.onSpike() != OnSpike.OFF && outcome.gradNorm() > normLimit) {
      String text = numbers(outcome, false) + ", a norm over 100 times the median before it";
      return told(step, Kind.SPIKE, text);
    }
    return plateau(step);
  }

  /**
   * Takes note of an evaluation with the weights as they are.
   *
   * @param loss of all rows
   */
  void evaluated(double loss) {
    if (Double.isFinite(loss)) {
      prove();
    } else {
      disproved = true;
    }
  }

  private void prove() {
    proven = lastApplied;
    disproved = false;
  }

  /**
   * Whether the weights as they are must not be written: something has been wrong since their last
   * update, and no finite loss was computed with them that would show that they are not the cause.
   */
  boolean isDoubtful() {
    return (failing > 0 || disproved) && proven < lastApplied;
  }

  /** What is wrong with a step, so that too many in a row stop the run. */
  private Optional<Kind> broken(TrainStep.Outcome outcome) {
    if (outcome.applied()) {
      return outcome.loss() > settings.threshold() ? Optional.of(Kind.HIGH_LOSS) : Optional.empty();
    }
    boolean prevented = Double.isFinite(outcome.loss()) && outcome.loss() > mostLoss();
    return Optional.of(prevented ? Kind.SPIKE : Kind.NOT_FINITE);
  }

  private Verdict brokenStep(int step, TrainStep.Outcome outcome, Kind kind) {
    boolean atOnce =
        kind == Kind.NOT_FINITE && settings.onNotFinite() == OnNotFinite.STOP
            || kind == Kind.SPIKE && settings.onSpike() == OnSpike.STOP;
    boolean stop = atOnce || failing >= settings.patience();
    boolean refused =
        !outcome.applied() && (kind == Kind.SPIKE || !Double.isFinite(outcome.loss()));
    String text = "step " + step + ": " + numbers(outcome, refused) + ", " + expected(kind);
    if (!atOnce && stop) {
      text += ", " + failing + (failing == 1 ? " such step" : " such steps in a row");
    } else if (!atOnce) {
      String what = outcome.applied() ? "" : ": not applied";
      text += what + " (" + failing + " in a row, the run stops at " + settings.patience() + ")";
    }
    return new Verdict(Optional.of(new RunNotice(step, kind, text)), stop);
  }

  private String expected(Kind kind) {
    return switch (kind) {
      case NOT_FINITE -> "expected finite numbers";
      case SPIKE ->
          String.format(Locale.ROOT, "expected a loss of at most %.4g as of late", spikeAbove());
      default ->
          String.format(Locale.ROOT, "above loss_watchdog_threshold %.4g", settings.threshold());
    };
  }

  private static Verdict told(int step, Kind kind, String text) {
    RunNotice notice = new RunNotice(step, kind, "step " + step + ": " + text);
    return new Verdict(Optional.of(notice), false);
  }

  /** A norm only where there is one: of a loss that is refused nobody computes it. */
  private static String numbers(TrainStep.Outcome outcome, boolean refused) {
    String loss = "loss " + shown(outcome.loss());
    return refused ? loss : loss + ", gradient norm " + shown(outcome.gradNorm());
  }

  /** As the lines of steps have them; in few digits where those would be many. */
  private static String shown(double number) {
    return String.format(Locale.ROOT, Math.abs(number) < 1e6 ? "%.4f" : "%.3e", number);
  }

  /** Told once, and again only when as many steps again have not helped. */
  private Verdict plateau(int step) {
    int n = settings.plateauSteps();
    if (n == 0 || losses.size() < 2 * n || step < plateauFrom) {
      return Verdict.FINE;
    }
    double before = median(losses, n, n);
    double lately = median(losses, n, 0);
    if (lately < before) {
      return Verdict.FINE;
    }
    plateauFrom = step + n;
    return told(
        step,
        Kind.PLATEAU,
        String.format(
            Locale.ROOT,
            "the loss no longer falls: its median is %.4f over the last %d steps, %.4f over those"
                + " before",
            lately,
            n,
            before));
  }

  /** Of up to {@code n} numbers, the last but {@code skip}. */
  private static double median(Deque<Double> numbers, int n, int skip) {
    int end = numbers.size() - skip;
    double[] sorted =
        numbers.stream()
            .mapToDouble(x -> x)
            .skip(Math.max(0, end - n))
            .limit(Math.min(n, end))
            .sorted()
            .toArray();
    int middle = sorted.length / 2;
    return sorted.length % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
  }

  private static void keep(Deque<Double> numbers, double number, int most) {
    numbers.addLast(number);
    if (numbers.size() > most) {
      numbers.removeFirst();
    }
  }

  /** Steps that were not applied. */
  int skipped() {
    return skipped;
  }

  /** The last step whose update was applied; 0: none was. */
  int lastApplied() {
    return lastApplied;
  }

  PartState state() {
    Map<String, List<Double>> numbers = new LinkedHashMap<>();
    numbers.put("losses", List.copyOf(losses));
    numbers.put("norms", List.copyOf(norms));
    numbers.put("failing", List.of((double) failing));
    numbers.put("skipped", List.of((double) skipped));
    numbers.put("last_applied", List.of((double) lastApplied));
    numbers.put("proven", List.of((double) proven));
    numbers.put("plateau_from", List.of((double) plateauFrom));
    return new PartState(numbers);
  }

  void restore(PartState saved) {
    losses.clear();
    norms.clear();
    saved.list("losses").forEach(loss -> keep(losses, loss, lossesKept));
    saved.list("norms").forEach(norm -> keep(norms, norm, WINDOW));
    failing = saved.count("failing");
    skipped = saved.count("skipped");
    lastApplied = saved.count("last_applied");
    proven = (int) saved.number("proven", -1);
    plateauFrom = saved.count("plateau_from");
  }
}
