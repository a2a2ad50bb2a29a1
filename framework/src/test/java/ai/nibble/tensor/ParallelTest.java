package ai.nibble.tensor;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.tensor.Parallel.RangeBody;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicInteger;
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

  @Test
  void afterAThrowNoFurtherRangesBegin() {
    AtomicInteger begun = new AtomicInteger();
    IllegalStateException thrown = new IllegalStateException("range 0");
    Throwable caught =
        assertThrows(
            IllegalStateException.class,
            () ->
                Parallel.forRanges(
                    100_000,
                    1,
                    (begin, end) -> {
                      begun.incrementAndGet();
                      if (begin == 0) {
                        throw thrown;
                      }
                      pause();
                    }));
    assertSame(thrown, caught);
    assertTrue(begun.get() < 1000, begun + " ranges begun");
  }

  @Test
  void loopsWithinLoopsVisitEveryItemOnce() {
    AtomicIntegerArray seen = new AtomicIntegerArray(64 * 64);
    Parallel.forRanges(
        64,
        1,
        (outer, outerEnd) ->
            Parallel.forRanges(
                64, 1, (inner, end) -> seen.incrementAndGet((int) (outer * 64 + inner))));
    for (int i = 0; i < seen.length(); i++) {
      assertEquals(1, seen.get(i));
    }
  }

  @Test
  void whatALoopWithinALoopThrowsReachesTheCaller() {
    IllegalStateException thrown = new IllegalStateException("inner");
    RangeBody inner =
        (begin, end) -> {
          throw thrown;
        };
    assertSame(
        thrown,
        assertThrows(
            IllegalStateException.class,
            () -> Parallel.forRanges(8, 1, (b, e) -> Parallel.forRanges(8, 1, inner))));
  }

  @Test
  void aLoopRunsOnAsManyThreadsAsWereSetAlsoFromAThreadThatNeverComputed() throws Exception {
    int before = Torch.threads();
    try {
      for (int threads : new int[] {1, 2}) {
        Torch.setThreads(threads);
        assertEquals(threads, threadsOfALoop());
        AtomicInteger elsewhere = new AtomicInteger();
        Thread other = new Thread(() -> elsewhere.set(threadsOfALoop()));
        other.start();
        other.join();
        assertEquals(threads, elsewhere.get());
      }
    } finally {
      Torch.setThreads(before);
    }
  }

  private static int threadsOfALoop() {
    Set<Thread> seen = ConcurrentHashMap.newKeySet();
    Parallel.forRanges(
        100,
        1,
        (begin, end) -> {
          seen.add(Thread.currentThread());
          pause();
        });
    return seen.size();
  }

  /** Long enough for every other thread to take a range meanwhile. */
  private static void pause() {
    try {
      Thread.sleep(1);
    } catch (InterruptedException e) {
      throw new IllegalStateException(e);
    }
  }
}
