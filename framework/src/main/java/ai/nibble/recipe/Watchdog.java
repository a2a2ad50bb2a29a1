package ai.nibble.recipe;

import ai.nibble.train.OnNotFinite;
import ai.nibble.train.OnSpike;
import ai.nibble.train.WatchdogSettings;
import java.util.Optional;

/**
 * What the run takes for a loss that something is wrong with, and what it does then.
 *
 * @param threshold a loss above it is broken, whatever it was before
 * @param patience broken steps in a row after which the run stops
 * @param onNotFinite for a loss or gradients that are not finite
 * @param onSpike for a loss far above those before it
 * @param spikeFactor how far: times the running median
 * @param plateauSteps steps that are compared with as many before them
 */
public record Watchdog(
    @Key(
            value = "loss_watchdog_threshold",
            byDefault = "null",
            range = "(0, inf)",
            doc =
                "A loss above it is broken: `loss_watchdog_patience` of them in a row stop the run")
        Optional<Double> threshold,
    @Key(
            value = "loss_watchdog_patience",
            byDefault = "3",
            range = "[1, 1e9]",
            doc = "Steps in a row that are broken or not applied, after which the run stops")
        int patience,
    @Key(
            value = "loss_watchdog_nan",
            byDefault = "skip",
            doc =
                "A loss or gradients that are NaN or infinite are never applied: `skip` goes on with"
                    + " the next step, `stop` stops")
        OnNotFinite onNotFinite,
    @Key(
            value = "loss_watchdog_spike",
            byDefault = "warn",
            doc =
                "A loss far above the running median, which there is from the ninth step on: `off`,"
                    + " `warn` says so, `skip` does not apply the step, `stop` stops before it. A"
                    + " gradient norm over 100 times its own median is told of, too, and never more:"
                    + " `max_grad_norm` has clipped it",
            means = @Key.Means(value = "false|no", as = "off"))
        OnSpike onSpike,
    @Key(
            value = "loss_watchdog_spike_factor",
            byDefault = "3",
            range = "(1, inf)",
            doc = "How far is far: times the median of the last 64 steps, and 1 above it")
        double spikeFactor,
    @Key(
            value = "loss_watchdog_plateau_steps",
            byDefault = "null",
            range = "[8, 10000]",
            doc = "Warn where the median loss of so many steps is no lower than of those before")
        Optional<Integer> plateauSteps) {

  WatchdogSettings settings() {
    return new WatchdogSettings(
        onNotFinite,
        onSpike,
        spikeFactor,
        threshold.orElse(Double.POSITIVE_INFINITY),
        patience,
        plateauSteps.orElse(0));
  }
}
