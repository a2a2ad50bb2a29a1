package ai.nibble.tensor;

import com.sun.jna.Pointer;
import java.util.ArrayDeque;
import java.util.Arrays;
import java.util.Deque;
import java.util.HashMap;
import java.util.Map;

/**
 * Streams beside the one that libtorch computes on, whose operations are done when they are asked
 * for. Copies of other streams are done as late as the events allow, or as soon as they are queued:
 * what is right in both ways waits where it must.
 *
 * <p>On the stream that libtorch computes on the copies are made at once, as all that is computed
 * here is. But they count as under way until some event behind them is waited for, and until then
 * the memory that they come from must not change: what was copied later would be something else.
 */
final class LazyStreams {
  private static final long FIRST = 0x5D00L;

  /** Whether copies are made at once. */
  boolean eager;

  private final Map<Long, Deque<Runnable>> queued = new HashMap<>();

  /** Of each recorded event, the stream and how many operations of it have to be done. */
  private final Map<Long, long[]> recorded = new HashMap<>();

  private final Map<Long, Long> done = new HashMap<>();

  /** Streams that have waited for the computation since their last copy, and for how much of it. */
  private final Map<Long, Long> ordered = new HashMap<>();

  /** Copies on the stream that libtorch computes on, oldest first. */
  private final Deque<Upload> uploads = new ArrayDeque<>();

  private long uploaded;
  private long finished;

  /** What a copy reads. */
  private record Upload(long number, long from, byte[] values) {
    void requireUnchanged() {
      if (!Arrays.equals(values, new Pointer(from).getByteArray(0, values.length))) {
        throw new AssertionError("memory was written while a copy from it was under way");
      }
    }
  }

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
   * @throws AssertionError if a stream beside does not wait for what was computed before
   */
  void copy(long into, long from, long bytes, long stream) {
    if (!isBeside(stream)) {
      byte[] values = new Pointer(from).getByteArray(0, (int) bytes);
      new Pointer(into).write(0, values, 0, values.length);
      uploads.add(new Upload(++uploaded, from, values));
      finish(eager ? uploaded : 0);
      return;
    }
    Long computed = ordered.remove(stream);
    if (computed == null) {
      throw new AssertionError("a copy that does not wait for what is computed");
    }
    queued
        .get(stream)
        .add(
            () -> {
              finish(computed);
              new Pointer(into)
                  .write(0, new Pointer(from).getByteArray(0, (int) bytes), 0, (int) bytes);
            });
    if (eager) {
      run(stream, Long.MAX_VALUE);
    }
  }

  private boolean isBeside(long stream) {
    return queued.containsKey(stream);
  }

  void record(long event, long stream) {
    long before = isBeside(stream) ? done.get(stream) + queued.get(stream).size() : uploaded;
    recorded.put(event, new long[] {stream, before});
  }

  void await(long stream, long event) {
    long[] at = recorded.get(event);
    if (at == null) {
      throw new AssertionError("an event that was not recorded");
    }
    if (isBeside(stream) && !isBeside(at[0])) {
      ordered.put(stream, at[1]);
    } else {
      run(at[0], at[1]);
    }
  }

  void synchronize(long event) {
    long[] at = recorded.get(event);
    if (isBeside(at[0])) {
      run(at[0], at[1]);
    } else {
      finish(at[1]);
    }
  }

  /** Whether an event has happened. */
  boolean isDone(long event) {
    long[] at = recorded.get(event);
    return (isBeside(at[0]) ? done.get(at[0]) : finished) >= at[1];
  }

  /** Copies that were not made yet, or count as under way. */
  int waiting() {
    return queued.values().stream().mapToInt(Deque::size).sum() + uploads.size();
  }

  /** The computation comes so far. */
  private void finish(long count) {
    finished = Math.max(finished, count);
    while (!uploads.isEmpty() && uploads.element().number <= count) {
      uploads.remove().requireUnchanged();
    }
  }

  /** Memory of the host is given back. */
  void free(long address, long bytes) {
    for (Upload upload : uploads) {
      if (upload.from >= address && upload.from < address + bytes) {
        throw new AssertionError("memory was freed while a copy from it was under way");
      }
    }
  }

  private void run(long stream, long count) {
    Deque<Runnable> operations = queued.get(stream);
    while (operations != null && !operations.isEmpty() && done.get(stream) < count) {
      operations.remove().run();
      done.merge(stream, 1L, Long::sum);
    }
  }
}
