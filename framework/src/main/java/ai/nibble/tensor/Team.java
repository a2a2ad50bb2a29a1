package ai.nibble.tensor;

import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;

/**
 * libtorch's threads in one long parallel region, which they go through together, phase by phase.
 * Where a phase takes some ten microseconds, as in a pass over one token, opening a region for each
 * ({@link Parallel}) would take as long as the work: between two phases of a team lies less than
 * one.
 *
 * <p>How a phase is cut depends on its length and grain only, as in {@link Parallel}.
 */
public final class Team {
  /** Looks at the others' state before the core is offered to other processes: tens of µs. */
  private static final int SPINS = 2000;

  private final AtomicInteger arrived = new AtomicInteger();
  private final AtomicLong next = new AtomicLong();
  private volatile int size;
  private volatile int phase;
  private volatile Throwable failure;

  private Team() {}

  /** What every thread of a team runs, each the same phases in the same order. */
  @FunctionalInterface
  public interface Work {
    void run(Team team);
  }

  /** Whether there are threads to form a team of: libtorch's OpenMP runtime is GNU's. */
  public static boolean isAvailable() {
    return OmpTeam.isAvailable();
  }

  /**
   * Runs the work on every thread of a team; of work within a parallel region the calling thread is
   * the whole team. What any thread throws reaches the caller, and the others leave the work at
   * their next phase.
   *
   * @throws IllegalStateException if there are no such threads
   */
  public static void run(Work work) {
    if (!isAvailable()) {
      throw new IllegalStateException("no team of threads with this libtorch");
    }
    Team team = new Team();
    OmpTeam.run(
        () -> {
          try {
            team.size = OmpTeam.size();
            work.run(team);
          } catch (Throwable t) {
            team.failure = t;
            throw t;
          }
        });
  }

  /**
   * One phase: all threads call it, together they run the body over {@code [0, n)}, and each goes
   * on when all is done.
   *
   * @param grain items a range, at least 1
   * @param last runs once, on one thread, after the ranges and before any thread goes on
   */
  public void ranges(long n, long grain, Parallel.RangeBody body, Runnable last) {
    if (grain < 1) {
      throw new IllegalArgumentException("grain is " + grain + ", expected at least 1");
    }
    int current = phase;
    for (long at = next.getAndAdd(grain); at < n; at = next.getAndAdd(grain)) {
      body.run(at, Math.min(n, at + grain));
    }
    if (arrived.incrementAndGet() == size) {
      last.run();
      arrived.set(0);
      next.set(0);
      phase = current + 1;
    } else {
      await(current);
    }
  }

  private void await(int current) {
    for (int spins = 0; phase == current; spins++) {
      if (failure != null) {
        rethrow();
      }
      if (spins < SPINS) {
        Thread.onSpinWait();
      } else {
        Thread.yield();
      }
    }
  }

  private void rethrow() {
    if (failure instanceof Error e) {
      throw e;
    }
    throw (RuntimeException) failure;
  }
}
