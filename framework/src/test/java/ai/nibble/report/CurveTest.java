package ai.nibble.report;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collections;
import java.util.List;
import java.util.function.IntToDoubleFunction;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class CurveTest {
  @TempDir private Path directory;

  private Metrics.Series losses(int steps, IntToDoubleFunction loss) throws Exception {
    StringBuilder lines = new StringBuilder();
    for (int step = 1; step <= steps; step++) {
      double value = loss.applyAsDouble(step);
      String shown = Double.isFinite(value) ? "" + value : "\"" + value + "\"";
      lines.append("{\"step\":" + step + ",\"loss\":" + shown + "}\n");
    }
    Path file = directory.resolve("metrics.jsonl");
    Files.writeString(file, lines);
    return Metrics.read(file).of(Metrics.Field.LOSS);
  }

  @Test
  void aShortRunIsDrawnAsItIs() throws Exception {
    Curve curve = Curve.of("loss", losses(3, step -> 1.0 / step));
    assertEquals(List.of(1, 2, 3), curve.steps());
    assertEquals(List.of(1.0, 0.5, 1.0 / 3), curve.values());
  }

  @Test
  void ofALongRunNoPeakIsLost() throws Exception {
    Metrics.Series series =
        losses(123_457, step -> step == 77_777 ? 1000 : step == 90_001 ? -1000 : step % 7);
    Curve curve = Curve.of("loss", series);
    assertTrue(curve.steps().size() <= Curve.MOST_POINTS, "" + curve.steps().size());
    assertTrue(curve.steps().size() > Curve.MOST_POINTS / 2);
    assertEquals(1000, curve.values().get(curve.steps().indexOf(77_777)));
    assertEquals(-1000, curve.values().get(curve.steps().indexOf(90_001)));
    List<Integer> ascending = curve.steps().stream().sorted().distinct().toList();
    assertEquals(ascending, curve.steps());
  }

  @Test
  void whatIsNoNumberInterruptsTheLine() throws Exception {
    Curve curve = Curve.of("loss", losses(3, step -> step == 2 ? Double.NaN : step));
    assertEquals(List.of(1.0, Double.NaN, 3.0), curve.values());
    Curve many =
        Curve.of("loss", losses(5000, step -> step == 2345 ? Double.POSITIVE_INFINITY : 1));
    assertEquals(1, many.values().stream().filter(v -> !Double.isFinite(v)).count());
    assertTrue(many.values().stream().allMatch(v -> v == 1 || !Double.isFinite(v)));
  }

  @Test
  void aConstantIsSmoothedToItself() throws Exception {
    Curve curve = Curve.smoothed("smoothed", losses(500, step -> step == 50 ? Double.NaN : 0.75));
    assertEquals(500, curve.steps().get(curve.steps().size() - 1));
    // the sums of the mean and of the weights are rounded alike but for one product each
    curve.values().forEach(v -> assertEquals(0.75, v, 1e-12));
  }

  @Test
  void theSmoothedLineIsTheUnbiasedExponentialMean() throws Exception {
    Curve curve = Curve.smoothed("smoothed", losses(3, step -> step)); // over 5 steps: keep 0.8
    assertEquals(1, curve.values().get(0), 1e-12);
    assertEquals((0.8 * 1 + 2) / 1.8, curve.values().get(1), 1e-12);
    assertEquals((0.64 * 1 + 0.8 * 2 + 3) / 2.44, curve.values().get(2), 1e-12);
  }

  @Test
  void aSmoothedLineOfALongRunIsShortAndEndsAtItsEnd() throws Exception {
    Curve curve = Curve.smoothed("smoothed", losses(12_345, step -> step));
    assertTrue(curve.steps().size() <= Curve.MOST_POINTS + 1, "" + curve.steps().size());
    assertEquals(12_345, curve.steps().get(curve.steps().size() - 1));
    assertEquals(curve.values().stream().sorted().toList(), curve.values());
    assertEquals(Collections.max(curve.values()), curve.last());
  }
}
