package ai.nibble.train.log;

import java.nio.file.Path;
import jdk.jfr.Category;
import jdk.jfr.DataAmount;
import jdk.jfr.Description;
import jdk.jfr.Event;
import jdk.jfr.Label;
import jdk.jfr.Name;
import jdk.jfr.StackTrace;

/**
 * The run as events of the JDK's Flight Recorder, beside its own of the collector, the processor
 * and files: {@code ai.nibble.Run}, {@code ai.nibble.Step}, {@code ai.nibble.Evaluation}, {@code
 * ai.nibble.Save}, each as long as what it stands for. They cost next to nothing while no recording
 * is under way; {@link JfrRecording} starts one.
 */
public final class JfrEvents implements TrainListener {
  private RunEvent run;
  private StepEvent step;
  private EvaluationEvent evaluation;
  private SaveEvent save;

  @Name("ai.nibble.Run")
  @Label("Training Run")
  @Category("Nibble")
  @StackTrace(false)
  private static final class RunEvent extends Event {
    @Label("Name")
    String name;

    @Label("First Step")
    @Description("Steps done before, by the run that this one goes on from")
    int firstStep;

    @Label("Step")
    @Description("Steps done in all")
    int step;

    @Label("Total Steps")
    int totalSteps;

    @Label("Reason")
    @Description("How it ended")
    String reason;
  }

  @Name("ai.nibble.Step")
  @Label("Training Step")
  @Category("Nibble")
  @StackTrace(false)
  private static final class StepEvent extends Event {
    @Label("Step")
    int step;

    @Label("Epoch")
    double epoch;

    @Label("Loss")
    double loss;

    @Label("Learning Rate")
    double learningRate;

    @Label("Gradient Norm")
    @Description("Before clipping")
    double gradNorm;

    @Label("Tokens per Second")
    double tokensPerSecond;

    @Label("Memory")
    @DataAmount
    long memory;

    @Label("Tokens")
    @Description("Since the run's first step")
    long tokens;
  }

  @Name("ai.nibble.Evaluation")
  @Label("Evaluation")
  @Category("Nibble")
  @StackTrace(false)
  private static final class EvaluationEvent extends Event {
    @Label("Step")
    int step;

    @Label("Evaluation Loss")
    double evalLoss;

    @Label("Tokens")
    @Description("That the loss is the mean of")
    long tokens;
  }

  @Name("ai.nibble.Save")
  @Label("Save")
  @Description("A checkpoint, or what was trained")
  @Category("Nibble")
  @StackTrace(false)
  private static final class SaveEvent extends Event {
    @Label("Step")
    int step;

    @Label("Path")
    String path;
  }

  @Override
  public void runStarted(RunInfo info) {
    run = new RunEvent();
    run.name = info.name();
    run.firstStep = info.firstStep();
    run.totalSteps = info.totalSteps();
    run.begin();
  }

  @Override
  public void stepStarted(int number) {
    step = new StepEvent();
    step.begin();
  }

  @Override
  public void stepEnded(StepMetrics metrics) {
    step.end();
    if (step.shouldCommit()) {
      step.step = metrics.step();
      step.epoch = metrics.epoch();
      step.loss = metrics.loss();
      step.learningRate = metrics.learningRate();
      step.gradNorm = metrics.gradNorm();
      step.tokensPerSecond = metrics.tokensPerSecond();
      step.memory = metrics.memoryBytes();
      step.tokens = metrics.tokens();
      step.commit();
    }
  }

  @Override
  public void evaluationStarted(int stepsDone) {
    evaluation = new EvaluationEvent();
    evaluation.begin();
  }

  @Override
  public void evaluated(EvalMetrics metrics) {
    evaluation.end();
    evaluation.step = metrics.step();
    evaluation.evalLoss = metrics.evalLoss();
    evaluation.tokens = metrics.tokens();
    evaluation.commit();
  }

  @Override
  public void saveStarted(int stepsDone) {
    save = new SaveEvent();
    save.step = stepsDone;
    save.begin();
  }

  @Override
  public void saved(Path path) {
    save.end();
    save.path = path.toString();
    save.commit();
  }

  @Override
  public void runEnded(RunEnd end) {
    run.end();
    run.step = end.step();
    run.reason = end.reason();
    run.commit();
  }
}
