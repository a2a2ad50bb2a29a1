package ai.nibble.cli;

import java.io.IOException;
import java.io.InputStream;
import java.util.Properties;
import picocli.CommandLine.IVersionProvider;

/** The versions of Nibble and of Java. */
final class Version implements IVersionProvider {
  /** Written into the jar by Maven. */
  private static final String PROPERTIES =
      "/META-INF/maven/ai.nibble/nibble-framework/pom.properties";

  @Override
  public String[] getVersion() throws IOException {
    Properties properties = new Properties();
    try (InputStream in = Version.class.getResourceAsStream(PROPERTIES)) {
      if (in != null) {
        properties.load(in);
      }
    }
    String version = properties.getProperty("version", "(built from classes, no jar)");
    return new String[] {"nibble " + version + ", Java " + Runtime.version()};
  }
}
