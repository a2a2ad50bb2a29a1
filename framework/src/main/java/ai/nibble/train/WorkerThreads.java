package ai.nibble.train;

import ai.nibble.tensor.Torch;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.function.IntConsumer;

/**
 * One thread a worker, each with threads of its own for one operation; a single worker is the
 * calling thread. The process does not wait for them when it ends.
 */
final class WorkerThreads implements AutoCloseable {
  private final List<ExecutorService> executors = new ArrayList<>();
  private final AtomicBoolean failing = new AtomicBoolean();

  /**
   * @param count of workers, at least 1
   * @param threadsEach of one operation on the CPU; not used where there is one worker
   */
  WorkerThreads(int count, int threadsEach) {
    if (count == 1) {
      return;
    }
    int before = Torch.threads();
    for (int w = 0; w < count; w++) {
      String name = "nibble-worker-" + w;
      executors.add(
          Executors.newSingleThreadExecutor(
              work -> {
                Thread thread = new Thread(work, name);
                thread.setDaemon(true);
                return thread;
              }));
    }
    run(
        w -> {
          Torch.threads(); // a thread that has asked once keeps its own number
          Torch.setThreads(threadsEach);
        });
    Torch.setThreads(before); // of this thread and of those to come
  }

  /** Whether a worker has failed: the others are to end at the next micro-batch. */
  boolean isFailing() {
    return failing.get();
  }

  /**
   * Runs something on every worker, at the same time, and waits for all.
   *
   * @param body gets the worker's number, from 0
   * @throws RuntimeException what the first worker threw that failed, by number; what others threw
   *     is suppressed in it
   */
  void run(IntConsumer body) {
    if (executors.isEmpty()) {
      body.accept(0);
      return;
    }
    failing.set(false);
    List<Future<?>> running = new ArrayList<>();
    for (int w = 0; w < executors.size(); w++) {
      int worker = w;
      running.add(executors.get(w).submit(() -> guarded(body, worker)));
    }
    Throwable first = null;
    for (Future<?> future : running) {
      Throwable failure = await(future);
      if (first == null) {
        first = failure;
      } else if (failure != null && failure != first) {
        first.addSuppressed(failure);
      }
    }
    if (first instanceof Error e) {
      throw e;
    }
    if (first != null) {
      throw (RuntimeException) first;
    }
  }

  private void guarded(IntConsumer body, int worker) {
    try {
      body.accept(worker);
    } catch (Throwable t) {
      failing.set(true);
      throw t;
    }
  }

  /** What it threw, else null. An interruption waits: memory is in use until the worker ends. */
  private static Throwable await(Future<?> future) {
    boolean interrupted = false;
    try {
      while (true) {
        try {
          future.get();
          return null;
        } catch (InterruptedException e) {
          interrupted = true;
        } catch (ExecutionException e) {
          return e.getCause();
        }
      }
    } finally {
      if (interrupted) {
        Thread.currentThread().interrupt();
      }
    }
  }

  @Override
  public void close() {
    executors.forEach(ExecutorService::shutdown);
  }
}
