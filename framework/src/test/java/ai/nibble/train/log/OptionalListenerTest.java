package ai.nibble.train.log;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.reflect.Method;
import java.lang.reflect.Proxy;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class OptionalListenerTest {
  private final List<String> told = new ArrayList<>();

  private static StepMetrics step(int step) {
    return new StepMetrics(step, 9, 1, 1, 1, 1, 1, 1, 1, Map.of());
  }

  @Test
  void whatFailsIsToldOnceAndLeftOutFromThen() {
    int[] steps = {0};
    TrainListener full =
        new TrainListener() {
          @Override
          public void stepEnded(StepMetrics metrics) {
            if (++steps[0] == 2) {
              throw new UncheckedIOException("runs/x cannot be written: full", new IOException());
            }
          }
        };
    OptionalListener listener =
        new OptionalListener(
            "runs/x",
            full,
            () -> {
              throw new IOException("full");
            },
            told::add);
    for (int i = 1; i <= 4; i++) {
      listener.stepEnded(step(i));
    }
    listener.close();
    assertEquals(2, steps[0]);
    assertEquals(
        List.of(
            "warning: runs/x is not written any further, training goes on: runs/x cannot be"
                + " written: full"),
        told);
  }

  /** A file that is only readable refuses as a full disk does. */
  @Test
  void metricsThatCannotBeWrittenDoNotEndTheRun(@TempDir Path temp) throws IOException {
    Path file = temp.resolve("metrics.jsonl");
    MetricsFile.create(file).close();
    FileChannel closed = FileChannel.open(file, StandardOpenOption.WRITE);
    MetricsFile metrics = new MetricsFile(file, closed);
    closed.close();
    OptionalListener listener = new OptionalListener("metrics.jsonl", metrics, metrics, told::add);
    listener.stepEnded(step(1));
    listener.stepEnded(step(2));
    listener.close();
    assertEquals(1, told.size(), told.toString());
    assertTrue(told.get(0).startsWith("warning: metrics.jsonl is not written any further"));
  }

  @Test
  void everyEventIsPassedOn() throws ReflectiveOperationException {
    List<String> heard = new ArrayList<>();
    TrainListener all =
        (TrainListener)
            Proxy.newProxyInstance(
                getClass().getClassLoader(),
                new Class<?>[] {TrainListener.class},
                (proxy, method, arguments) -> heard.add(method.getName()) ? null : null);
    OptionalListener listener = new OptionalListener("all", all, () -> {}, told::add);
    List<String> expected = new ArrayList<>();
    for (Method method : TrainListener.class.getMethods()) {
      expected.add(method.getName());
      Object[] arguments =
          Arrays.stream(method.getParameterTypes())
              .map(type -> type == int.class ? 1 : type == long.class ? (Object) 1L : null)
              .toArray();
      method.invoke(listener, arguments);
    }
    assertEquals(13, expected.size());
    assertEquals(expected, heard);
    assertEquals(List.of(), told);
  }
}
