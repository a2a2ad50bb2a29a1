package ai.nibble.optim;

/**
 * How the learning rate moves: a factor of the recipe's {@code learning_rate} for every optimizer
 * step.
 *
 * <p>Step {@code s} counts from 0: the first update of a run uses {@code multiplier(0)}, which is 0
 * when there is any warm-up. Source: transformers' {@code get_scheduler} with the names {@code
 * constant_with_warmup}, {@code linear}, {@code cosine}, {@code cosine_with_restarts}, {@code
 * polynomial}, {@code inverse_sqrt} and {@code warmup_stable_decay}.
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

  /**
   * Half a cosine from 1 to 0, {@code cycles} times: after each it starts at 1 again, in equal
   * parts of the steps after the warm-up.
   */
  record CosineWithRestarts(int warmupSteps, int totalSteps, int cycles) implements Schedule {
    public CosineWithRestarts {
      check(warmupSteps, totalSteps);
      require("num_cycles", cycles, cycles >= 1, "at least 1");
    }

    @Override
    public double multiplier(int step) {
      if (step < warmupSteps) {
        return warmup(step, warmupSteps);
      }
      double progress =
          (double) (step - warmupSteps) / (double) Math.max(1, totalSteps - warmupSteps);
      if (progress >= 1) {
        return 0;
      }
      return Math.max(0, 0.5 * (1 + StrictMath.cos(Math.PI * (cycles * progress % 1))));
    }
  }

  /**
   * Falls from 1 at the end of the warm-up to {@code end} at {@code totalSteps} as a power of what
   * remains.
   *
   * @param end the last factor, 0 to below 1
   * @param power above 0; 1 is a straight line
   */
  record Polynomial(int warmupSteps, int totalSteps, double end, double power) implements Schedule {
    public Polynomial {
      check(warmupSteps, totalSteps);
      require("lr_end", end, end >= 0 && end < 1, "0 to below learning_rate");
      require("power", power, power > 0 && power < Double.POSITIVE_INFINITY, "above 0");
    }

    @Override
    public double multiplier(int step) {
      if (step < warmupSteps) {
        return warmup(step, warmupSteps);
      }
      if (step >= totalSteps) {
        return end;
      }
      double remaining = 1 - (double) (step - warmupSteps) / (totalSteps - warmupSteps);
      return (1 - end) * StrictMath.pow(remaining, power) + end;
    }
  }

  /**
   * Falls with the inverse square root of the steps: {@code 1/√((s + timescale − warmupSteps) /
   * timescale)}.
   *
   * @param timescale steps after the warm-up's end in which it falls to 1/√2, at least 1
   */
  record InverseSqrt(int warmupSteps, int timescale) implements Schedule {
    public InverseSqrt {
      check(warmupSteps, 0);
      require("timescale", timescale, timescale >= 1, "at least 1");
    }

    @Override
    public double multiplier(int step) {
      if (step < warmupSteps) {
        return warmup(step, warmupSteps);
      }
      return 1 / Math.sqrt((double) ((long) step + timescale - warmupSteps) / timescale);
    }
  }

  /**
   * Rises, stays at 1 and falls over the last {@code decaySteps} to {@code end}, as half a cosine
   * (Hu et al. 2024, MiniCPM). The warm-up begins at {@code end} as well.
   *
   * @param decaySteps at most what the warm-up leaves
   * @param end first and last factor, 0 to below 1
   */
  record WarmupStableDecay(int warmupSteps, int totalSteps, int decaySteps, double end)
      implements Schedule {
    public WarmupStableDecay {
      check(warmupSteps, totalSteps);
      require(
          "num_decay_steps",
          decaySteps,
          decaySteps >= 0 && warmupSteps + (long) decaySteps <= totalSteps,
          "0 to the " + (totalSteps - warmupSteps) + " steps that the warm-up leaves");
      require("min_lr_ratio", end, end >= 0 && end < 1, "0 to below 1");
    }

    @Override
    public double multiplier(int step) {
      if (step < warmupSteps) {
        return warmup(step, warmupSteps) * (1 - end) + end;
      }
      int decayed = step - (totalSteps - decaySteps);
      if (decayed < 0) {
        return 1;
      }
      if (decayed >= decaySteps) {
        return end;
      }
      double progress = (double) decayed / decaySteps;
      return Math.max(0, 0.5 * (1 + StrictMath.cos(Math.PI * progress)) * (1 - end) + end);
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

  private static void require(String key, double value, boolean valid, String expected) {
    if (!valid) {
      throw new IllegalArgumentException(
          key + " is " + String.valueOf(value).replaceAll("\\.0$", "") + ", expected " + expected);
    }
  }
}
