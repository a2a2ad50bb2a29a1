package ai.nibble.recipe;

import ai.nibble.recipe.Optimization.LrScheduler;
import java.util.List;
import java.util.Locale;
import java.util.Optional;

/** What {@code lr_scheduler} and {@code lr_scheduler_kwargs} say together. */
final class ScheduleConflicts {
  private static final String MORE = "lr_scheduler_kwargs";

  private ScheduleConflicts() {}

  static void check(Conflicts keys) {
    if (!(keys.value("lr_scheduler") instanceof LrScheduler scheduler)
        || !(keys.value(MORE) instanceof Optional<?> given)) {
      return;
    }
    SchedulerKwargs more = given.map(SchedulerKwargs.class::cast).orElse(SchedulerKwargs.DEFAULT);
    if (scheduler == LrScheduler.POLYNOMIAL
        && keys.value("learning_rate") instanceof Double rate
        && more.lrEnd() >= rate) {
      keys.problem(
          MORE + ".lr_end",
          "'"
              + MORE
              + ".lr_end' is "
              + Range.shown(more.lrEnd())
              + ", expected less than 'learning_rate', "
              + Range.shown(rate));
    }
    for (String key : RecordType.of(SchedulerKwargs.class).settings().keySet()) {
      String path = MORE + "." + key;
      if (keys.isWritten(path) && !takenBy(scheduler).contains(key)) {
        keys.notice(
            path,
            "'"
                + path
                + "' has no effect with lr_scheduler: "
                + scheduler.name().toLowerCase(Locale.ROOT));
      }
    }
  }

  private static List<String> takenBy(LrScheduler scheduler) {
    return switch (scheduler) {
      case COSINE, LINEAR, CONSTANT -> List.of();
      case COSINE_WITH_RESTARTS -> List.of("num_cycles");
      case POLYNOMIAL -> List.of("lr_end", "power");
      case INVERSE_SQRT -> List.of("timescale");
      case WARMUP_STABLE_DECAY -> List.of("num_decay_steps", "min_lr_ratio");
    };
  }
}
