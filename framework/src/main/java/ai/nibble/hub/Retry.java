package ai.nibble.hub;

import ai.nibble.FileProblem;
import ai.nibble.InvalidInputException;
import ai.nibble.hub.HubSettings.Patience;
import java.io.IOException;
import java.io.InterruptedIOException;
import java.net.ConnectException;
import java.util.concurrent.ThreadLocalRandom;
import java.util.function.Consumer;
import javax.net.ssl.SSLException;

/** Tries again what a network may do better the next time, each time after a longer pause. */
final class Retry {
  /** What is tried. */
  interface Attempt<T> {
    /**
     * @throws IOException where trying again may help
     */
    T run() throws IOException, InterruptedException;
  }

  /** Attempts to connect: a host that is not found is seldom found a moment later. */
  private static final int UNREACHABLE = 2;

  private final Patience patience;
  private final Consumer<String> notices;

  Retry(Patience patience, Consumer<String> notices) {
    this.patience = patience;
    this.notices = notices;
  }

  /**
   * Tries.
   *
   * @param what is wanted, for messages
   * @throws InvalidInputException where it failed as often as is tried
   */
  <T> T run(String what, Attempt<T> attempt) throws InterruptedIOException {
    for (int n = 1; ; n++) {
      try {
        return attempt.run();
      } catch (SSLException e) {
        throw new InvalidInputException(
            what + ": the connection is not trusted: " + Untrusted.reason(e), e);
      } catch (IOException e) {
        boolean unreachable = e instanceof ConnectException;
        if (n >= (unreachable ? Math.min(UNREACHABLE, patience.attempts()) : patience.attempts())) {
          throw new InvalidInputException(
              what + ": failed " + n + " times, last: " + message(e) + "; run again to go on", e);
        }
        long millis = pause(e, n);
        notices.accept(
            "%s: %s; trying again in %.1f s".formatted(what, message(e), millis / 1000.0));
        sleep(millis);
      } catch (InterruptedException e) {
        throw interrupted();
      }
    }
  }

  /**
   * What the server asks for; else doubled each time, and up to half more, so that not all return
   * at once.
   */
  private long pause(IOException e, int n) {
    if (e instanceof HubException hub && hub.waitSeconds() > 0) {
      return 1000 * hub.waitSeconds();
    }
    long millis = patience.pause().toMillis() << Math.min(n - 1, 6);
    return millis + ThreadLocalRandom.current().nextLong(millis / 2 + 1);
  }

  private static void sleep(long millis) throws InterruptedIOException {
    try {
      Thread.sleep(millis);
    } catch (InterruptedException e) {
      throw interrupted();
    }
  }

  private static InterruptedIOException interrupted() {
    Thread.currentThread().interrupt();
    return new InterruptedIOException("interrupted while fetching");
  }

  private static String message(IOException e) {
    String text = FileProblem.reason(e);
    return text.endsWith("header parser received no bytes")
        ? "the connection was closed without an answer"
        : text.replaceAll("\\p{Cntrl}+", " ");
  }
}
