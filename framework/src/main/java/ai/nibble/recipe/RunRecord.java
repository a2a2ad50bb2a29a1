package ai.nibble.recipe;

import ai.nibble.FileProblem;
import ai.nibble.InvalidInputException;
import ai.nibble.checkpoint.OwnDirectory;
import ai.nibble.report.Report;
import ai.nibble.report.RunFile;
import ai.nibble.train.log.ProcessMemory;
import ai.nibble.train.log.RunEnd;
import ai.nibble.train.log.RunNotice;
import ai.nibble.train.log.StepMetrics;
import ai.nibble.train.log.TrainListener;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/**
 * Keeps {@code run.json}, and makes {@code report.html} when closed, however the run ended. What
 * goes wrong with the page is told and ends nothing: what was trained is there all the same.
 */
final class RunRecord implements TrainListener, AutoCloseable {
  private final Path output;
  private final PrintStream out;
  private final RunFile begun;
  private final OwnDirectory own;
  private final int firstStep;
  private final long start = System.nanoTime();
  private int step;
  private String status = "failed before the first step";

  private RunRecord(Path output, PrintStream out, RunFile begun) throws IOException {
    RunFile.Session session = begun.sessions().get(begun.sessions().size() - 1);
    this.output = output;
    this.out = out;
    this.begun = begun;
    this.own = new OwnDirectory(output);
    own.claim();
    this.firstStep = session.firstStep();
    this.step = firstStep;
  }

  /**
   * Writes that a run has begun.
   *
   * @param run with one session
   * @param resumed whether it goes on from a checkpoint: sessions before it are kept
   */
  static RunRecord begin(Path output, PrintStream out, RunFile run, boolean resumed)
      throws IOException {
    List<RunFile.Session> sessions = new ArrayList<>();
    if (resumed) {
      try {
        RunFile.read(output).ifPresent(earlier -> sessions.addAll(earlier.sessions()));
      } catch (InvalidInputException e) {
        out.println("note: " + e.getMessage() + ": what was in it is lost");
      }
    }
    sessions.addAll(run.sessions());
    RunFile whole =
        new RunFile(
            run.version(),
            run.name(),
            run.totalSteps(),
            run.environment(),
            run.model(),
            run.data(),
            run.lengths(),
            run.trainRows(),
            run.evalRows(),
            sessions);
    whole.write(output);
    return new RunRecord(output, out, whole);
  }

  @Override
  public void stepEnded(StepMetrics metrics) {
    step = metrics.step();
  }

  /** A directory that was made anew gets the record at once, as the first one did. */
  @Override
  public void noticed(RunNotice notice) {
    if (notice.kind() == RunNotice.Kind.OUTPUT) {
      try {
        own.claim();
        begun.write(output);
      } catch (IOException e) {
        out.println("note: run.json could not be written: " + FileProblem.reason(e));
      }
    }
  }

  @Override
  public void runEnded(RunEnd end) {
    step = end.step();
    status = end.reason();
  }

  @Override
  public void close() {
    RunFile.Session last = begun.sessions().get(begun.sessions().size() - 1);
    RunFile.Session now =
        new RunFile.Session(
            firstStep,
            step,
            last.started(),
            (System.nanoTime() - start) / 1e9,
            status,
            ProcessMemory.peakBytes());
    if (!own.isThere()) {
      out.println("note: " + output + " is another's by now: " + Report.NAME + " is not made");
      return;
    }
    try {
      begun.with(now).write(output);
      out.println("report " + Report.write(output));
    } catch (IOException e) {
      out.println("note: " + Report.NAME + " could not be made: " + FileProblem.reason(e));
    } catch (RuntimeException e) {
      out.println("note: " + Report.NAME + " could not be made: " + e.getMessage());
    }
    out.flush();
  }
}
