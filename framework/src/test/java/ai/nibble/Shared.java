package ai.nibble;

import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.nio.file.Files;
import java.nio.file.Path;

/**
 * The reference material beside the project ({@code ../shared}): golden values, a real model, real
 * data. A test that needs it is skipped, with a line that says so, where the folder is absent.
 */
public final class Shared {
  private Shared() {}

  /** The project's root. */
  public static Path root() {
    return Path.of(System.getProperty("nibble.root", "..")).toAbsolutePath().normalize();
  }

  /** A file or folder of the reference material; skips the calling test where it is absent. */
  public static Path path(String relative) {
    Path path = root().resolveSibling("shared").resolve(relative);
    assumeTrue(Files.exists(path), "skipped: needs ../shared/" + relative + ", which is not here");
    return path;
  }

  /** Whether {@link #fixtures} are those beside the project, whose cases are known by name. */
  public static boolean fixturesAreShipped() {
    return System.getProperty("nibble.fixtures", "").isEmpty();
  }

  /** A folder of golden values; {@code -Dnibble.fixtures=DIR} names another place for them. */
  public static Path fixtures(String relative) {
    String other = System.getProperty("nibble.fixtures", "");
    if (other.isEmpty()) {
      return path("fixtures/" + relative);
    }
    Path path = root().resolve(other).resolve(relative);
    assumeTrue(Files.exists(path), "skipped: needs " + relative + " in -Dnibble.fixtures");
    return path;
  }
}
