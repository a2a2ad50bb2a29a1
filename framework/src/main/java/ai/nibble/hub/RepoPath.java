package ai.nibble.hub;

import ai.nibble.InvalidInputException;
import java.nio.charset.StandardCharsets;
import java.util.Collection;
import java.util.HashMap;
import java.util.Locale;
import java.util.Map;
import java.util.regex.Pattern;

/**
 * Names of files as a server gives them: only such as stay below where they are put, and are files
 * on every system.
 */
final class RepoPath {
  private static final int MAX_BYTES = 255; // of a name on the usual file systems

  /** Windows has these for devices, whatever follows a dot. */
  private static final Pattern DEVICE =
      Pattern.compile("(?i)(con|prn|aux|nul|com\\d|lpt\\d)(\\..*)?");

  private RepoPath() {}

  /** Whether a name could lead out of the folder it is put in, on any system. */
  static boolean leadsElsewhere(String name) {
    boolean absolute = name.startsWith("/") || name.startsWith("\\") || name.matches("[A-Za-z]:.*");
    return absolute || name.replace('\\', '/').matches("(.*/)?\\.\\.(/.*)?");
  }

  /**
   * Looks whether a file can have the name.
   *
   * @param where of whose files, for the message
   * @throws InvalidInputException if it cannot
   */
  static void require(String where, String name) {
    boolean good = !leadsElsewhere(name) && !name.contains("\\");
    for (String part : name.split("/", -1)) {
      good &= isFileName(part);
    }
    if (!good) {
      throw new InvalidInputException(
          where + ": has a file named " + shown(name) + ", which is not put on this disk: refused");
    }
  }

  private static boolean isFileName(String part) {
    return !part.isEmpty()
        && !part.equals(".")
        && part.getBytes(StandardCharsets.UTF_8).length <= MAX_BYTES
        && part.chars().noneMatch(c -> Character.isISOControl(c) || ":*?\"<>|".indexOf(c) >= 0)
        && !part.endsWith(".")
        && !part.endsWith(" ")
        && !DEVICE.matcher(part).matches();
  }

  /** Looks whether two names differ in case alone, which is one file on some systems. */
  static void requireDistinct(String where, Collection<String> names) {
    Map<String, String> seen = new HashMap<>();
    for (String name : names) {
      String other = seen.put(name.toLowerCase(Locale.ROOT), name);
      if (other != null && !other.equals(name)) {
        throw new InvalidInputException(
            where
                + ": has files "
                + shown(other)
                + " and "
                + shown(name)
                + ", which are one on some systems: refused");
      }
    }
  }

  /** On one line, bounded. */
  static String shown(String name) {
    String line = name.replaceAll("\\p{Cntrl}", "?");
    return "'" + (line.length() > 80 ? line.substring(0, 80) + "…" : line) + "'";
  }
}
