package ai.nibble.plan;

import java.util.Locale;
import java.util.OptionalLong;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Amounts of memory in words. */
public final class Sizes {
  private static final Pattern SIZE =
      Pattern.compile("(\\d{1,15}(?:\\.\\d{1,3})?)\\s?([KMGT]?)(iB|B)?", Pattern.CASE_INSENSITIVE);

  private Sizes() {}

  /** {@code 900 KiB}, {@code 412 MiB}, {@code 3.4 GiB}. */
  public static String text(long bytes) {
    if (bytes < 1 << 20) {
      return String.format(Locale.ROOT, "%.0f KiB", bytes / 1024.0);
    }
    double gib = bytes / (double) (1L << 30);
    return gib < 1
        ? String.format(Locale.ROOT, "%.0f MiB", bytes / (double) (1L << 20))
        : String.format(Locale.ROOT, "%.1f GiB", gib);
  }

  /** Bytes of {@code 24GiB}, {@code 24G} (the same), {@code 24GB} or a number; empty for others. */
  public static OptionalLong parse(String text) {
    Matcher m = SIZE.matcher(text.strip());
    if (!m.matches()) {
      return OptionalLong.empty();
    }
    boolean decimal = m.group(3) != null && m.group(3).equalsIgnoreCase("b");
    int power = "KMGT".indexOf(m.group(2).toUpperCase(Locale.ROOT).concat("?").charAt(0)) + 1;
    double unit = Math.pow(decimal ? 1000 : 1024, m.group(2).isEmpty() ? 0 : power);
    double bytes = Double.parseDouble(m.group(1)) * unit;
    return bytes >= 1 && bytes < 0x1p62 ? OptionalLong.of((long) bytes) : OptionalLong.empty();
  }
}
