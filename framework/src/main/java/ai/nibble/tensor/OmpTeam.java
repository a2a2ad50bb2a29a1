package ai.nibble.tensor;

import com.sun.jna.Callback;
import com.sun.jna.CallbackThreadInitializer;
import com.sun.jna.Function;
import com.sun.jna.Native;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;

/**
 * Runs Java code on the OpenMP threads that libtorch's own operations run on.
 *
 * <p>With two teams, one of Java's and one of OpenMP's, each operation finds its threads asleep or
 * its core taken by a thread of the other team: on two cores a product then often runs on one.
 */
final class OmpTeam {
  /** What each thread of the team runs, the calling one among them. */
  private interface Entry extends Callback {
    /**
     * @param job key of the job
     */
    void invoke(long job);
  }

  /** {@code GOMP_parallel(fn, data, num_threads, flags)}; the same libgomp that libtorch uses. */
  private static final Function PARALLEL = find("GOMP_parallel");

  /** {@code int omp_get_num_threads(void)}. */
  private static final Function SIZE = find("omp_get_num_threads");

  private static final Map<Long, Job> JOBS = new ConcurrentHashMap<>();
  private static final AtomicLong NEXT = new AtomicLong();
  private static final Entry ENTRY = OmpTeam::enter;

  /**
   * libtorch tells OpenMP its number of threads on each thread that computes, at the first
   * operation there; a team may be wanted before.
   */
  private static final ThreadLocal<Integer> THREADS = ThreadLocal.withInitial(Torch::threads);

  static {
    // Each thread that opens regions has a team of its own, which lives as long as it does: a
    // worker is attached to the JVM once, and JNA detaches it when it ends.
    Native.setCallbackThreadInitializer(
        ENTRY, new CallbackThreadInitializer(true, false, "nibble-omp"));
  }

  private OmpTeam() {}

  private static Function find(String name) {
    try {
      return NativeLibraries.libtorch().getFunction(name);
    } catch (UnsatisfiedLinkError e) {
      return null; // a libtorch with another OpenMP runtime
    }
  }

  static boolean isAvailable() {
    return PARALLEL != null && SIZE != null;
  }

  /** Threads of the team whose work the calling thread is in; 1 outside any. */
  static int size() {
    return SIZE.invokeInt(new Object[0]);
  }

  /**
   * Runs the work once on every thread of the team and returns when all have returned. Within such
   * work the calling thread is the whole team.
   *
   * @throws RuntimeException what the work threw, on whichever thread; the first, if several did
   */
  static void run(Runnable work) {
    THREADS.get();
    long key = NEXT.getAndIncrement();
    Job job = new Job(work);
    JOBS.put(key, job);
    try {
      // 0 threads: the team's own number, for another would make libgomp form the team anew.
      PARALLEL.invokeVoid(new Object[] {ENTRY, key, 0, 0});
    } finally {
      JOBS.remove(key);
    }
    job.rethrow();
  }

  private static void enter(long key) {
    JOBS.get(key).run();
  }

  /** One parallel region; no exception may pass through native frames. */
  private static final class Job {
    private final Runnable work;
    private final AtomicReference<Throwable> first = new AtomicReference<>();

    Job(Runnable work) {
      this.work = work;
    }

    void run() {
      try {
        work.run();
      } catch (Throwable t) {
        first.compareAndSet(null, t);
      }
    }

    void rethrow() {
      Throwable thrown = first.get();
      if (thrown instanceof Error e) {
        throw e;
      }
      if (thrown instanceof RuntimeException e) {
        throw e;
      }
    }
  }
}
