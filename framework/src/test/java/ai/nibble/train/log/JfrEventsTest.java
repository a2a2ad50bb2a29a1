package ai.nibble.train.log;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import jdk.jfr.consumer.RecordedEvent;
import jdk.jfr.consumer.RecordingFile;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class JfrEventsTest {
  @TempDir private Path directory;

  private static void run(TrainListener listener) throws InterruptedException {
    listener.runStarted(new RunInfo("a", 7, 9, ""));
    listener.stepStarted(8);
    Thread.sleep(20);
    listener.stepEnded(new StepMetrics(8, 9, 0.5, 1.25, 2e-4, 0.75, 1000, 1L << 30, 512));
    listener.evaluationStarted(8);
    listener.evaluated(new EvalMetrics(8, 0.5, 1.5, 99, 0.5));
    listener.saveStarted(8);
    listener.saved(Path.of("out", "checkpoint-8"));
    listener.stepStarted(9); // fails: nothing is told of it
    listener.runEnded(new RunEnd(8, 2, "failed: no"));
  }

  private static RecordedEvent only(List<RecordedEvent> events, String name) {
    List<RecordedEvent> found =
        events.stream()
            .filter(e -> e.getEventType().getName().equals("ai.nibble." + name))
            .toList();
    assertEquals(1, found.size(), name);
    return found.get(0);
  }

  @Test
  void aRecordingHoldsTheRunWithItsDurations() throws Exception {
    Path file;
    try (JfrRecording recording = JfrRecording.start(directory)) {
      file = recording.file();
      run(new JfrEvents());
    }
    List<RecordedEvent> events = RecordingFile.readAllEvents(file);
    RecordedEvent step = only(events, "Step");
    assertEquals(8, step.getInt("step"));
    assertEquals(1.25, step.getDouble("loss"));
    assertEquals(2e-4, step.getDouble("learningRate"));
    assertEquals(0.75, step.getDouble("gradNorm"));
    assertEquals(1000, step.getDouble("tokensPerSecond"));
    assertEquals(1L << 30, step.getLong("memory"));
    assertEquals(512, step.getLong("tokens"));
    assertTrue(step.getDuration().compareTo(Duration.ofMillis(20)) >= 0, "" + step.getDuration());
    RecordedEvent evaluation = only(events, "Evaluation");
    assertEquals(1.5, evaluation.getDouble("evalLoss"));
    assertEquals(99, evaluation.getLong("tokens"));
    assertFalse(evaluation.getStartTime().isBefore(step.getEndTime()));
    RecordedEvent save = only(events, "Save");
    assertEquals(8, save.getInt("step"));
    assertEquals(Path.of("out", "checkpoint-8").toString(), save.getString("path"));
    RecordedEvent whole = only(events, "Run");
    assertEquals("failed: no", whole.getString("reason"));
    assertEquals(7, whole.getInt("firstStep"));
    assertTrue(whole.getDuration().compareTo(step.getDuration()) >= 0);
  }

  @Test
  void aSecondRecordingLeavesTheFirst() throws Exception {
    try (JfrRecording first = JfrRecording.start(directory)) {
      assertEquals(directory.resolve("recording.jfr"), first.file());
    }
    try (JfrRecording second = JfrRecording.start(directory)) {
      assertEquals(directory.resolve("recording-2.jfr"), second.file());
    }
    assertTrue(Files.size(directory.resolve("recording.jfr")) > 0);
  }

  @Test
  void withoutARecordingNothingIsNeeded() throws Exception {
    run(new JfrEvents());
    try (var files = Files.list(directory)) {
      assertEquals(0, files.count());
    }
  }
}
