package ai.nibble.cli;

import java.io.PrintStream;
import java.util.concurrent.CountDownLatch;

/**
 * Lets a run that is told to end (Ctrl-C, SIGTERM) finish its step and save first. The virtual
 * machine waits for that, then ends with the signal's exit code: 130, 143.
 */
final class StopOnSignal implements AutoCloseable {
  private final CountDownLatch saved = new CountDownLatch(1);
  private final Thread hook;
  private volatile boolean asked;

  /**
   * @param out told once
   */
  StopOnSignal(PrintStream out) {
    this.hook = new Thread(() -> waitForRun(out), "stop-on-signal");
    Runtime.getRuntime().addShutdownHook(hook);
  }

  private void waitForRun(PrintStream out) {
    asked = true;
    out.println("stopping: the step under way is finished and saved first");
    out.flush();
    try {
      saved.await();
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }

  /** Whether a signal has come. */
  boolean isAsked() {
    return asked;
  }

  /** The run is over: nothing is left to wait for. */
  @Override
  public void close() {
    saved.countDown();
    if (!asked) {
      try {
        Runtime.getRuntime().removeShutdownHook(hook);
      } catch (IllegalStateException e) {
        // a signal came just now: the hook runs, and has nothing to wait for
      }
    }
  }
}
