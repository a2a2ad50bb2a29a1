package ai.nibble.tensor;

import com.sun.jna.Pointer;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;

/**
 * Streams beside the one that libtorch computes on, whose operations are done when they are asked
 * for. Copies of other streams are done as late as the events allow, or as soon as they are queued:
 * what is right in both ways waits where it must.
 */
final class LazyStreams {
  private static final long FIRST = 0x5D00L;

  /** Whether copies are made at once. */
  boolean eager;

  private final Map<Long, Deque<Runnable>> queued = new HashMap<>();

  /** Of each recorded event, the stream and how many operations of it have to be done. */
  private final Map<Long, long[]> recorded = new HashMap<>();

  private final Map<Long, Long> done = new HashMap<>();

  /** Streams that have waited for the computation since their last copy. */
  private final Set<Long> ordered = new HashSet<>();

  long create() {
    long stream = FIRST + queued.size();
    queued.put(stream, new ArrayDeque<>());
    done.put(stream, 0L);
    return stream;
  }

  void destroy(long stream) {
    run(stream, Long.MAX_VALUE);
  }

  /**
   * @throws AssertionError if the stream does not wait for what was computed before
   */
  void copy(long into, long from, long bytes, long stream) {
    if (!ordered.remove(stream)) {
      throw new AssertionError("a copy that does not wait for what is computed");
    }
    queued
        .get(stream)
        .add(
            () ->
                new Pointer(into)
                    .write(0, new Pointer(from).getByteArray(0, (int) bytes), 0, (int) bytes));
    if (eager) {
      run(stream, Long.MAX_VALUE);
    }
  }

  void record(long event, long stream) {
    long before = queued.containsKey(stream) ? done.get(stream) + queued.get(stream).size() : 0;
    recorded.put(event, new long[] {stream, before});
  }

  void await(long stream, long event) {
    long[] at = recorded.get(event);
    if (at == null) {
      throw new AssertionError("an event that was not recorded");
    }
    if (queued.containsKey(stream) && !queued.containsKey(at[0])) {
      ordered.add(stream);
    } else {
      run(at[0], at[1]);
    }
  }

  void synchronize(long event) {
    long[] at = recorded.get(event);
    run(at[0], at[1]);
  }

  /** Copies that were not made yet. */
  int waiting() {
    return queued.values().stream().mapToInt(Deque::size).sum();
  }

  private void run(long stream, long count) {
    Deque<Runnable> operations = queued.get(stream);
    while (operations != null && !operations.isEmpty() && done.get(stream) < count) {
      operations.remove().run();
      done.merge(stream, 1L, Long::sum);
    }
  }
}
