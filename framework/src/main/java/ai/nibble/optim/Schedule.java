package ai.nibble.optim;

/**
 * How the learning rate moves: a factor of the recipe's {@code learning_rate} for every optimizer
 * step.
 *
 * <p>Step {@code s} counts from 0: the first update of a run uses {@code multiplier(0)}, which is 0
 * when there is any warm-up. Source: transformers' {@code get_scheduler} with the names {@code
 * constant_with_warmup}, {@code linear} and {@code cosine}.
 */
public sealed interface Schedule {
  /** Steps over which the factor rises in a straight line from 0 to 1. */
  int warmupSteps();

  /**
   * The factor at a step.
   *
   * @param step optimizer steps done before this one, at least 0
   */
  double multiplier(int step);

  /**
   * The steps a warm-up ratio stands for: {@code ceil(totalSteps · ratio)}, in double precision as
   * transformers computes it.
   *
   * @param ratio 0 to 1
   */
  static int warmupSteps(double ratio, int totalSteps) {
    if (!(ratio >= 0 && ratio <= 1)) {
      throw new IllegalArgumentException("warmup_ratio is " + ratio + ", expected 0 to 1");
    }
    return (int) Math.ceil(totalSteps * ratio);
  }

  /** 1 after the warm-up. */
  record Constant(int warmupSteps) implements Schedule {
    public Constant {
      check(warmupSteps, 0);
    }

    @Override
    public double multiplier(int step) {
      return step < warmupSteps ? warmup(step, warmupSteps) : 1;
    }
  }

  /** Falls in a straight line from 1 at the end of the warm-up to 0 at {@code totalSteps}. */
  record Linear(int warmupSteps, int totalSteps) implements Schedule {
    public Linear {
      check(warmupSteps, totalSteps);
    }

    @Override
    public double multiplier(int step) {
      if (step < warmupSteps) {
        return warmup(step, warmupSteps);
      }
      return Math.max(
          0, (double) (totalSteps - step) / (double) Math.max(1, totalSteps - warmupSteps));
    }
  }

  /**
   * Half a cosine, {@code ½(1 + cos πp)} with {@code p} from 0 at the end of the warm-up to 1 at
   * {@code totalSteps}. Past that the cosine rises again, as in transformers.
   */
  record Cosine(int warmupSteps, int totalSteps) implements Schedule {
    public Cosine {
      check(warmupSteps, totalSteps);
    }

    @Override
    public double multiplier(int step) {
      if (step < warmupSteps) {
        return warmup(step, warmupSteps);
      }
      double progress =
          (double) (step - warmupSteps) / (double) Math.max(1, totalSteps - warmupSteps);
      // StrictMath gives the same bits on every machine and JIT
      return Math.max(0, 0.5 * (1 + StrictMath.cos(Math.PI * progress)));
    }
  }

  private static double warmup(int step, int warmupSteps) {
    return (double) step / (double) Math.max(1, warmupSteps);
  }

  private static void check(int warmupSteps, int totalSteps) {
    if (warmupSteps < 0 || totalSteps < 0) {
      throw new IllegalArgumentException(
          "a schedule of "
              + warmupSteps
              + " warm-up steps and "
              + totalSteps
              + " steps, expected neither below 0");
    }
  }
}
