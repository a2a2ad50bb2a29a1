package ai.nibble.cli;

import ai.nibble.NibbleVersion;
import picocli.CommandLine.IVersionProvider;

/** The versions of Nibble and of Java. */
final class Version implements IVersionProvider {
  @Override
  public String[] getVersion() {
    return new String[] {"nibble " + NibbleVersion.text() + ", Java " + Runtime.version()};
  }
}
