package ai.nibble.recipe;

import java.util.List;
import java.util.Map;
import java.util.regex.Pattern;

/** Writes what {@link ValueType#write} gives as YAML that this package reads back. */
final class YamlWriter {
  private static final Pattern PLAIN = Pattern.compile("[A-Za-z_/.][A-Za-z0-9_/.+-]*");

  private YamlWriter() {}

  /** One scalar, quoted unless it is plainly text. */
  static String scalar(String text) {
    if (PLAIN.matcher(text).matches() && ScalarKind.of(text) == ScalarKind.TEXT) {
      return text;
    }
    StringBuilder out = new StringBuilder("\"");
    for (int i = 0; i < text.length(); i++) {
      char c = text.charAt(i);
      if (c == '"' || c == '\\') {
        out.append('\\').append(c);
      } else if (c >= ' ' && c < 0x7f || Character.isLetterOrDigit(c)) {
        out.append(c);
      } else if (Character.isHighSurrogate(c)
          && i + 1 < text.length()
          && Character.isLowSurrogate(text.charAt(i + 1))) {
        out.append(String.format("\\U%08x", text.codePointAt(i++)));
      } else {
        out.append(String.format("\\u%04x", (int) c));
      }
    }
    return out.append('"').toString();
  }

  /** A number; readers of YAML 1.1 take {@code 2e-4} for text, {@code 2.0e-4} for a number. */
  static String number(double x) {
    String shown = Range.shown(x);
    int e = shown.indexOf('e');
    if (e < 0) {
      return shown;
    }
    String mantissa = shown.substring(0, e);
    String exponent = shown.substring(e + 1);
    return (mantissa.contains(".") ? mantissa : mantissa + ".0")
        + (exponent.startsWith("-") ? "e" : "e+")
        + exponent;
  }

  /** A map in block style; a list of maps too; everything else within its line. */
  static String document(Map<?, ?> fields) {
    StringBuilder out = new StringBuilder();
    fields.forEach((key, value) -> field(out, scalar((String) key), value));
    return out.toString();
  }

  private static void field(StringBuilder out, String key, Object value) {
    out.append(key).append(':');
    if (value instanceof List<?> items && items.stream().anyMatch(Map.class::isInstance)) {
      out.append('\n');
      for (Object item : items) {
        String lead = "  - ";
        for (Map.Entry<?, ?> entry : ((Map<?, ?>) item).entrySet()) {
          out.append(lead).append(scalar((String) entry.getKey())).append(": ");
          out.append(flow(entry.getValue())).append('\n');
          lead = "    ";
        }
      }
      return;
    }
    out.append(' ').append(flow(value)).append('\n');
  }

  private static String flow(Object value) {
    if (value instanceof List<?> items) {
      return "[" + String.join(", ", items.stream().map(YamlWriter::flow).toList()) + "]";
    }
    if (value instanceof Map<?, ?> fields) {
      List<String> entries =
          fields.entrySet().stream()
              .map(e -> scalar((String) e.getKey()) + ": " + flow(e.getValue()))
              .toList();
      return "{" + String.join(", ", entries) + "}";
    }
    return (String) value;
  }
}
