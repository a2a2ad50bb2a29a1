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
  void multipliersOfTheOthersAreThoseOfTransformers() {
    int compared = 0;
    for (JsonNode kase : Golden.read("others.json", "schedules")) {
      Schedule schedule = other(kase, kase.get("kwargs"));
      for (int i = 0; i < kase.get("steps").size(); i++) {
        int step = kase.get("steps").get(i).intValue();
        double expected = kase.get("multipliers").get(i).doubleValue();
        // some operations on values up to 1, each rounded once
        double tolerance = 4 * Math.ulp(1.0);
        assertEquals(expected, schedule.multiplier(step), tolerance, schedule + " at " + step);
        compared++;
      }
    }
    System.out.println("schedules: " + compared + " multipliers of four more compared");
    assertTrue(compared > 800, "compared " + compared);
  }

  private static Schedule other(JsonNode kase, JsonNode kwargs) {
    int warmup = kase.get("warmup").intValue();
    int total = kase.get("total").intValue();
    return switch (kase.get("name").textValue()) {
      case "cosine_with_restarts" ->
          new Schedule.CosineWithRestarts(warmup, total, kwargs.get("num_cycles").intValue());
      case "polynomial" ->
          new Schedule.Polynomial(
              warmup,
              total,
              kwargs.get("lr_end").doubleValue() / 2e-4,
              kwargs.get("power").doubleValue());
      case "inverse_sqrt" -> new Schedule.InverseSqrt(warmup, kwargs.get("timescale").intValue());
      case "warmup_stable_decay" ->
          new Schedule.WarmupStableDecay(
              warmup,
              total,
              kwargs.get("num_decay_steps").intValue(),
              kwargs.get("min_lr_ratio").doubleValue());
      default -> throw new AssertionError(kase.get("name"));
    };
  }

  @Test
  void whatAScheduleCannotDoIsRefused() {
    assertEquals(
        "num_decay_steps is 9, expected 0 to the 8 steps that the warm-up leaves",
        assertThrows(
                IllegalArgumentException.class, () -> new Schedule.WarmupStableDecay(2, 10, 9, 0))
            .getMessage());
    assertThrows(IllegalArgumentException.class, () -> new Schedule.CosineWithRestarts(0, 10, 0));
    assertThrows(IllegalArgumentException.class, () -> new Schedule.Polynomial(0, 10, 1, 1));
    assertThrows(IllegalArgumentException.class, () -> new Schedule.InverseSqrt(0, 0));
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
