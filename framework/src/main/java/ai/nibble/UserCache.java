package ai.nibble;

import java.nio.file.Path;

/**
 * Where things are kept that can be made again: {@code NIBBLE_CACHE}, or {@code nibble} in the
 * cache directory by the XDG Base Directory specification ({@code XDG_CACHE_HOME}, which holds a
 * relative one for invalid, or {@code ~/.cache}).
 */
public final class UserCache {
  private UserCache() {}

  /** The directory of one kind of things, whether it is there or not. */
  public static Path directory(String kind) {
    String own = System.getenv("NIBBLE_CACHE");
    if (own != null && !own.isBlank()) {
      return Path.of(own).toAbsolutePath().resolve(kind);
    }
    String given = System.getenv("XDG_CACHE_HOME");
    boolean valid = given != null && !given.isBlank() && Path.of(given).isAbsolute();
    Path cache = valid ? Path.of(given) : Path.of(System.getProperty("user.home"), ".cache");
    return cache.resolve("nibble").resolve(kind);
  }
}
