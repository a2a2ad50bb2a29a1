package ai.nibble.plan;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.Test;

/** How many checkpoints are on the disk at a time. */
final class DiskPlanTest {
  private static final long MIB = 1 << 20;

  private static DiskPlan of(long saves, int limit, boolean best, long free) {
    return DiskPlan.of(0, 10 * MIB, 40 * MIB, saves, limit, best, free * MIB);
  }

  @Test
  void theOneThatIsWrittenAndTheBestAreBesideThoseThatAreKept() {
    assertEquals(0, of(0, 3, false, 0).atOnce());
    assertEquals(12, of(12, 0, false, 0).atOnce());
    assertEquals(4, of(12, 3, false, 0).atOnce());
    assertEquals(5, of(12, 3, true, 0).atOnce());
    assertEquals(2, of(2, 3, true, 0).atOnce());
  }

  @Test
  void itFitsToTheByte() {
    assertTrue(of(12, 1, false, 90).fits());
    assertFalse(of(12, 1, false, 89).fits());
    assertTrue(of(0, 0, false, 10).fits());
    assertFalse(DiskPlan.of(0, 10, Long.MAX_VALUE / 4, 1L << 40, 0, false, 1L << 50).fits());
  }

  @Test
  void aLimitIsNamedWhereItHelps() {
    DiskPlan plan = of(12, 0, false, 100);
    assertEquals(
        "about 490 MiB of the 100 MiB free: 12 checkpoints of 40 MiB, the result of 10 MiB",
        plan.text());
    assertEquals(
        "free some, choose another output_dir, or set save_total_limit: 1, which needs 90 MiB",
        plan.remedy());
    assertEquals("free some, choose another output_dir", of(12, 0, false, 89).remedy());
  }
}
