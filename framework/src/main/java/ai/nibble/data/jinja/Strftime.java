package ai.nibble.data.jinja;

import java.time.LocalDateTime;
import java.time.format.TextStyle;
import java.time.temporal.ChronoField;
import java.time.temporal.ChronoUnit;
import java.time.temporal.IsoFields;
import java.util.Locale;

/** C's {@code strftime} of a time without zone, in the C locale. */
final class Strftime {
  private Strftime() {}

  static String format(LocalDateTime time, String format) {
    StringBuilder out = new StringBuilder();
    for (int i = 0; i < format.length(); i++) {
      char c = format.charAt(i);
      if (c != '%' || i + 1 == format.length()) {
        out.append(c);
        continue;
      }
      char directive = format.charAt(++i);
      boolean unpadded = directive == '-' && i + 1 < format.length();
      if (unpadded) {
        directive = format.charAt(++i);
      }
      String text = directive(time, directive);
      out.append(unpadded ? text.replaceFirst("^[0 ]+(?=.)", "") : text);
      Budget.checkText(out.length());
    }
    return out.toString();
  }

  private static String directive(LocalDateTime t, char directive) {
    int sunday = t.getDayOfWeek().getValue() % 7;
    return switch (directive) {
      case 'Y' -> pad(t.getYear(), 4);
      case 'y' -> pad(t.getYear() % 100, 2);
      case 'C' -> pad(t.getYear() / 100, 2);
      case 'm' -> pad(t.getMonthValue(), 2);
      case 'B' -> t.getMonth().getDisplayName(TextStyle.FULL, Locale.ENGLISH);
      case 'b', 'h' -> t.getMonth().getDisplayName(TextStyle.FULL, Locale.ENGLISH).substring(0, 3);
      case 'd' -> pad(t.getDayOfMonth(), 2);
      case 'e' -> String.format("%2d", t.getDayOfMonth());
      case 'j' -> pad(t.getDayOfYear(), 3);
      case 'A' -> t.getDayOfWeek().getDisplayName(TextStyle.FULL, Locale.ENGLISH);
      case 'a' -> t.getDayOfWeek().getDisplayName(TextStyle.FULL, Locale.ENGLISH).substring(0, 3);
      case 'u' -> pad(t.getDayOfWeek().getValue(), 1);
      case 'w' -> pad(sunday, 1);
      case 'U' -> pad((t.getDayOfYear() + 6 - sunday) / 7, 2);
      case 'W' -> pad((t.getDayOfYear() + 6 - (sunday + 6) % 7) / 7, 2);
      case 'V' -> pad(t.get(IsoFields.WEEK_OF_WEEK_BASED_YEAR), 2);
      case 'G' -> pad(t.get(IsoFields.WEEK_BASED_YEAR), 4);
      case 'H' -> pad(t.getHour(), 2);
      case 'I' -> pad(t.get(ChronoField.CLOCK_HOUR_OF_AMPM), 2);
      case 'M' -> pad(t.getMinute(), 2);
      case 'S' -> pad(t.getSecond(), 2);
      case 'f' -> pad(t.getNano() / 1000, 6);
      case 'p' -> t.getHour() < 12 ? "AM" : "PM";
      case 's' -> Long.toString(ChronoUnit.SECONDS.between(LocalDateTime.of(1970, 1, 1, 0, 0), t));
      case 'D', 'x' -> format(t, "%m/%d/%y");
      case 'F' -> format(t, "%Y-%m-%d");
      case 'T', 'X' -> format(t, "%H:%M:%S");
      case 'R' -> format(t, "%H:%M");
      case 'r' -> format(t, "%I:%M:%S %p");
      case 'c' -> format(t, "%a %b %e %H:%M:%S %Y");
      case 'z', 'Z' -> "";
      case 'n' -> "\n";
      case 't' -> "\t";
      case '%' -> "%";
      default -> "%" + directive;
    };
  }

  private static String pad(int number, int width) {
    return String.format("%0" + width + "d", number);
  }
}
