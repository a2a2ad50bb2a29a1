package ai.nibble.recipe;

import java.nio.file.Path;
import java.util.List;
import java.util.Optional;

/**
 * What is written, and when.
 *
 * @param outputDir absolute
 * @param overwriteOutputDir whether {@code outputDir} may hold something already
 * @param saveSteps optimizer steps between checkpoints; with neither this nor {@code
 *     savesPerEpoch}: at the end of the run
 * @param saveTotalLimit most checkpoints kept, the newest; empty: all
 * @param resumeFromCheckpoint empty: begins anew
 * @param resumeWithChanges whether a checkpoint of other settings, base or rows will do
 * @param reportTo besides the console and {@code metrics.jsonl}
 */
public record Output(
    @Key(value = "output_dir", doc = "Where the adapter or model, checkpoints and logs go")
        Path outputDir,
    @Key(
            value = "overwrite_output_dir",
            byDefault = "false",
            doc =
                "Write there even if something is there already; what an earlier run wrote is removed")
        boolean overwriteOutputDir,
    @Key(
            value = "save_steps",
            byDefault = "null",
            range = "[1, inf)",
            doc =
                "Optimizer steps between checkpoints; without it none is written, and only the result is")
        Optional<Integer> saveSteps,
    @Key(
            value = "saves_per_epoch",
            byDefault = "null",
            range = "[1, inf)",
            doc = "Checkpoints in each epoch, instead of `save_steps`")
        Optional<Integer> savesPerEpoch,
    @Key(
            value = "save_total_limit",
            byDefault = "null",
            range = "[1, inf)",
            doc = "Most checkpoints kept, the newest; the best one besides")
        Optional<Integer> saveTotalLimit,
    @Key(
            value = "resume_from_checkpoint",
            byDefault = "null",
            doc =
                "Go on from a checkpoint: `auto` takes the newest whole one in `output_dir`, or begins"
                    + " where there is none")
        Optional<ResumeFrom> resumeFromCheckpoint,
    @Key(
            value = "resume_with_changes",
            byDefault = "false",
            doc = "Go on even where settings, base or rows are not those of the checkpoint")
        boolean resumeWithChanges,
    @Key(
            value = "logging_steps",
            byDefault = "1",
            range = "[1, inf)",
            doc = "Optimizer steps between log lines")
        int loggingSteps,
    @Key(
            value = "report_to",
            byDefault = "[tensorboard]",
            doc =
                "Loggers besides the console and metrics.jsonl: `tensorboard`; `jfr`, a recording of"
                    + " the JDK's Flight Recorder with the run's events; [] for none",
            refuse = {
              @Key.Refuse(
                  value = "micrometer",
                  why =
                      "not for a recipe: an application's run is given a MicrometerMetrics with its"
                          + " registry (docs/runs.md); here use tensorboard, jfr or []"),
              @Key.Refuse(
                  value = "wandb|mlflow|comet_ml|clearml|swanlab|trackio|neptune|all",
                  why = "not supported yet: use tensorboard, jfr or []")
            })
        List<Reporter> reportTo) {

  /** Copies the list. */
  public Output {
    reportTo = List.copyOf(reportTo);
  }

  /** A logger. */
  public enum Reporter {
    TENSORBOARD,
    JFR
  }
}
