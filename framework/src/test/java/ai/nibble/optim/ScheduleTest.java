package ai.nibble.optim;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import org.junit.jupiter.api.Test;

class ScheduleTest {
  @Test
  void multipliersAreThoseOfTransformers() {
    int compared = 0;
    for (JsonNode kase : Golden.read("schedules")) {
      int warmup = kase.get("warmup").intValue();
      int total = kase.get("total").intValue();
      Schedule schedule =
          switch (kase.get("name").textValue()) {
            case "constant" -> new Schedule.Constant(warmup);
            case "linear" -> new Schedule.Linear(warmup, total);
            default -> new Schedule.Cosine(warmup, total);
          };
      for (int i = 0; i < kase.get("steps").size(); i++) {
        int step = kase.get("steps").get(i).intValue();
        double expected = kase.get("multipliers").get(i).doubleValue();
        // the two libraries' cosines may differ in the last place of a value up to 1, halved
        double tolerance = schedule instanceof Schedule.Cosine ? Math.ulp(1.0) : 0;
        assertEquals(expected, schedule.multiplier(step), tolerance, schedule + " at " + step);
        compared++;
      }
    }
    System.out.println("schedules: " + compared + " multipliers compared");
    assertTrue(compared > 300, "compared " + compared);
  }

  @Test
  void aWarmupRatioRoundsUpAsInTransformers() {
    int compared = 0;
    for (JsonNode kase : Golden.read("warmups")) {
      double ratio = kase.get("ratio").doubleValue();
      assertEquals(
          kase.get("steps").intValue(), Schedule.warmupSteps(ratio, kase.get("total").intValue()));
      compared++;
    }
    assertEquals(49, compared);
  }

  @Test
  void negativeStepsAndRatiosAreRefused() {
    assertThrows(IllegalArgumentException.class, () -> new Schedule.Constant(-1));
    assertThrows(IllegalArgumentException.class, () -> new Schedule.Cosine(0, -1));
    assertThrows(IllegalArgumentException.class, () -> Schedule.warmupSteps(1.5, 10));
    assertThrows(IllegalArgumentException.class, () -> Schedule.warmupSteps(Double.NaN, 10));
  }
}
