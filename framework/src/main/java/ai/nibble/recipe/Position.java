package ai.nibble.recipe;

import java.nio.file.Path;

/**
 * Where a key or a value stands.
 *
 * @param source the file as the user wrote it, or the whole {@code --set key=value}
 * @param line from 1; 0 where the source has no lines
 * @param column from 1, in code points
 * @param directory what relative paths written here are relative to
 */
record Position(String source, int line, int column, Path directory) {

  /** The source as a whole. */
  Position whole() {
    return new Position(source, 0, 0, directory);
  }

  @Override
  public String toString() {
    return line == 0 ? source : source + ":" + line + ":" + column;
  }
}
