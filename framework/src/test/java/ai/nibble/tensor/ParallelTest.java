package ai.nibble.tensor;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.concurrent.atomic.AtomicIntegerArray;
import org.junit.jupiter.api.Test;

class ParallelTest {
  @Test
  void everyItemIsVisitedOnce() {
    for (int n : new int[] {0, 1, 7, 64, 1000}) {
      AtomicIntegerArray seen = new AtomicIntegerArray(n);
      Parallel.forRanges(
          n,
          16,
          (begin, end) -> {
            for (long i = begin; i < end; i++) {
              seen.incrementAndGet((int) i);
            }
          });
      for (int i = 0; i < n; i++) {
        assertEquals(1, seen.get(i));
      }
    }
  }

  @Test
  void whatABodyThrowsReachesTheCaller() {
    IllegalStateException thrown = new IllegalStateException("range 3");
    Throwable caught =
        assertThrows(
            IllegalStateException.class,
            () ->
                Parallel.forRanges(
                    64,
                    16,
                    (begin, end) -> {
                      if (begin == 48) {
                        throw thrown;
                      }
                    }));
    assertSame(thrown, caught);
  }

  @Test
  void loopsRunOnLibtorchsThreadsFromAnyThread() throws Exception {
    assertTrue(OmpTeam.isAvailable());
    AtomicIntegerArray seen = new AtomicIntegerArray(1000);
    Thread other =
        new Thread(() -> Parallel.forRanges(1000, 1, (b, e) -> seen.incrementAndGet((int) b)));
    other.start();
    Parallel.forRanges(1000, 1, (b, e) -> seen.incrementAndGet((int) b));
    other.join();
    for (int i = 0; i < seen.length(); i++) {
      assertEquals(2, seen.get(i));
    }
  }
}
