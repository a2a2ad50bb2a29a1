package ai.nibble.hub;

import java.util.Locale;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.Consumer;

/** Says now and then how far fetching is. For any number of threads. */
final class HubProgress {
  private static final long EVERY_NANOS = 5_000_000_000L;

  private final HubId id;
  private final long total;
  private final Consumer<String> lines;
  private final AtomicLong come = new AtomicLong();
  private final long begin = System.nanoTime();
  private final AtomicLong said = new AtomicLong(begin);

  HubProgress(HubId id, long total, Consumer<String> lines) {
    this.id = id;
    this.total = total;
    this.lines = lines;
  }

  /**
   * @param bytes that came; fewer than none where some were thrown away
   */
  void add(long bytes) {
    long sum = come.addAndGet(bytes);
    long now = System.nanoTime();
    long last = said.get();
    if (now - last >= EVERY_NANOS && said.compareAndSet(last, now)) {
      double seconds = (now - begin) / 1e9;
      lines.accept(
          "%s: %s of %s, %s/s".formatted(id, size(sum), size(total), size((long) (sum / seconds))));
    }
  }

  /** In the decimal units that the hub shows. */
  static String size(long bytes) {
    if (bytes < 1_000_000) {
      return String.format(Locale.ROOT, "%.1f kB", bytes / 1e3);
    }
    return bytes < 1_000_000_000
        ? String.format(Locale.ROOT, "%.1f MB", bytes / 1e6)
        : String.format(Locale.ROOT, "%.2f GB", bytes / 1e9);
  }
}
