package ai.nibble;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.util.Optional;
import java.util.Properties;

/** Which Nibble this is. */
public final class NibbleVersion {
  /** Written into the jar by Maven. */
  private static final String PROPERTIES =
      "/META-INF/maven/ai.nibble/nibble-framework/pom.properties";

  /** Filled in by Maven. */
  private static final String BUILD = "/ai/nibble/build.properties";

  private NibbleVersion() {}

  /** The version, such as {@code 0.1.0}; a remark in parentheses where there is no jar. */
  public static String text() {
    return property(PROPERTIES, "version").orElse("(built from classes, no jar)");
  }

  /**
   * The git commit it was built from, with {@code -dirty} where files were changed; empty where the
   * build was not told.
   */
  public static Optional<String> commit() {
    return property(BUILD, "commit").filter(commit -> commit.matches("[0-9a-f]{7,64}(-dirty)?"));
  }

  private static Optional<String> property(String resource, String name) {
    Properties properties = new Properties();
    try (InputStream in = NibbleVersion.class.getResourceAsStream(resource)) {
      if (in != null) {
        properties.load(in);
      }
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    return Optional.ofNullable(properties.getProperty(name));
  }
}
