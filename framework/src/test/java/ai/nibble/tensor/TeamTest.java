package ai.nibble.tensor;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicIntegerArray;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** Threads that go through phases together. */
class TeamTest {
  private static final int PHASES = 2000;

  @BeforeEach
  void needsThreads() {
    assumeTrue(Team.isAvailable(), "skipped: needs a libtorch with GNU's OpenMP");
  }

  @Test
  void everyRangeOfEveryPhaseRunsOnceAndBeforeItsLast() {
    int n = 37;
    AtomicIntegerArray runs = new AtomicIntegerArray(n);
    AtomicInteger lasts = new AtomicInteger();
    Team.run(
        team -> {
          for (int p = 1; p <= PHASES; p++) {
            int phase = p;
            team.ranges(
                n,
                5,
                (begin, end) -> {
                  assertEquals(phase - 1, lasts.get());
                  for (int i = (int) begin; i < end; i++) {
                    runs.incrementAndGet(i);
                  }
                },
                () -> {
                  for (int i = 0; i < n; i++) {
                    assertEquals(phase, runs.get(i));
                  }
                  lasts.incrementAndGet();
                });
          }
        });
    assertEquals(PHASES, lasts.get());
  }

  @Test
  void aPhaseOfNothingRunsItsLast() {
    AtomicInteger lasts = new AtomicInteger();
    Team.run(team -> team.ranges(0, 1, (begin, end) -> {}, lasts::incrementAndGet));
    assertEquals(1, lasts.get());
  }

  @Test
  void whatOneThreadThrowsEndsTheTeamAndReachesTheCaller() {
    IllegalStateException thrown = new IllegalStateException("one range");
    AtomicInteger after = new AtomicInteger();
    IllegalStateException caught =
        assertThrows(
            IllegalStateException.class,
            () ->
                Team.run(
                    team -> {
                      team.ranges(
                          8,
                          1,
                          (begin, end) -> {
                            if (begin == 3) {
                              throw thrown;
                            }
                          },
                          after::incrementAndGet);
                      after.incrementAndGet();
                    }));
    assertSame(thrown, caught);
    assertEquals(0, after.get());
  }

  @Test
  void aRangeOfNothingIsRefused() {
    assertThrows(
        IllegalArgumentException.class,
        () -> Team.run(team -> team.ranges(1, 0, (begin, end) -> {}, () -> {})));
  }
}
