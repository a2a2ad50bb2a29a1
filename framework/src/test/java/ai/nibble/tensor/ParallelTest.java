package ai.nibble.tensor;

import static org.junit.jupiter.api.Assertions.assertEquals;

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
}
