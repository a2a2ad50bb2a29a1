package ai.nibble.tensor;

import java.util.concurrent.atomic.AtomicLong;
import java.util.stream.LongStream;

/**
 * Loops over raw memory, split into ranges that run on libtorch's threads.
 *
 * <p>How a range is cut depends on its length and grain only, never on the number of threads, so
 * whatever a body computes per range is the same on every machine.
 */
public final class Parallel {
  private Parallel() {}

  /** Work on the half-open range {@code [begin, end)}. */
  @FunctionalInterface
  public interface RangeBody {
    void run(long begin, long end);
  }

  /**
   * Runs the body over {@code [0, n)} in ranges of {@code grain} (the last may be shorter). What a
   * body throws reaches the caller once the ranges under way have ended; no further ones begin.
   *
   * @param n number of items, may be 0
   * @param grain items a range, at least 1; below one grain the body runs on the calling thread
   */
  public static void forRanges(long n, long grain, RangeBody body) {
    if (grain < 1) {
      throw new IllegalArgumentException("grain is " + grain + ", expected at least 1");
    }
    if (n <= 0) {
      return;
    }
    long ranges = (n + grain - 1) / grain;
    if (ranges == 1) {
      body.run(0, n);
      return;
    }
    if (OmpTeam.isAvailable()) {
      AtomicLong next = new AtomicLong();
      OmpTeam.run(
          () -> {
            try {
              for (long r = next.getAndIncrement(); r < ranges; r = next.getAndIncrement()) {
                body.run(r * grain, Math.min(n, (r + 1) * grain));
              }
            } catch (Throwable t) {
              next.set(ranges); // the other threads take no more
              throw t;
            }
          });
    } else {
      LongStream.range(0, ranges)
          .parallel()
          .forEach(r -> body.run(r * grain, Math.min(n, (r + 1) * grain)));
    }
  }
}
