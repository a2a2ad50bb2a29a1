package ai.nibble.recipe;

import java.util.Optional;

/**
 * What a schedule is told besides its warm-up, by transformers' names. Each belongs to one of them.
 *
 * @param numCycles of {@code cosine_with_restarts}
 * @param lrEnd last learning rate of {@code polynomial}
 * @param power of {@code polynomial}
 * @param timescale of {@code inverse_sqrt}; empty: the warm-up's steps, or 10,000 without one
 * @param numDecaySteps of {@code warmup_stable_decay}; empty: a tenth of all steps, rounded up, or
 *     as many as the warm-up leaves
 * @param minLrRatio first and last factor of {@code warmup_stable_decay}
 */
public record SchedulerKwargs(
    @Key(
            value = "num_cycles",
            byDefault = "1",
            range = "[1, 1000000]",
            doc = "`cosine_with_restarts`: how often it falls")
        int numCycles,
    @Key(
            value = "lr_end",
            byDefault = "1e-7",
            range = "[0, 1]",
            doc = "`polynomial`: the last learning rate")
        double lrEnd,
    @Key(
            value = "power",
            byDefault = "1",
            range = "(0, 100]",
            doc = "`polynomial`: the power of what remains; 1 is a straight line")
        double power,
    @Key(
            value = "timescale",
            byDefault = "null",
            range = "[1, inf)",
            doc =
                "`inverse_sqrt`: steps in which the rate falls to 1/√2; without it: those of the"
                    + " warm-up, or 10000")
        Optional<Integer> timescale,
    @Key(
            value = "num_decay_steps",
            byDefault = "null",
            range = "[1, inf)",
            doc =
                "`warmup_stable_decay`: the last steps, in which it falls; without it: a tenth, if"
                    + " the warm-up leaves as many")
        Optional<Integer> numDecaySteps,
    @Key(
            value = "min_lr_ratio",
            byDefault = "0",
            range = "[0, 1)",
            doc = "`warmup_stable_decay`: the first and last factor")
        double minLrRatio) {
  /** All by default. */
  static final SchedulerKwargs DEFAULT =
      new SchedulerKwargs(1, 1e-7, 1, Optional.empty(), Optional.empty(), 0);
}
