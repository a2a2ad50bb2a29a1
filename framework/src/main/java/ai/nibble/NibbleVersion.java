package ai.nibble;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.util.Properties;

/** Which Nibble this is. */
public final class NibbleVersion {
  /** Written into the jar by Maven. */
  private static final String PROPERTIES =
      "/META-INF/maven/ai.nibble/nibble-framework/pom.properties";

  private NibbleVersion() {}

  /** The version, such as {@code 0.1.0}; a remark in parentheses where there is no jar. */
  public static String text() {
    Properties properties = new Properties();
    try (InputStream in = NibbleVersion.class.getResourceAsStream(PROPERTIES)) {
      if (in != null) {
        properties.load(in);
      }
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    return properties.getProperty("version", "(built from classes, no jar)");
  }
}
