package ai.nibble.recipe;

import ai.nibble.UserCache;
import java.nio.file.Path;
import java.util.Optional;

/**
 * Where encoded rows are kept for the next run ({@code dataset_prepared_path}).
 *
 * @param given a directory; empty: the user's cache, or nowhere
 * @param kept whether they are kept at all
 */
public record PreparedPath(Optional<Path> given, boolean kept) {
  private static final String AUTO = "auto";
  private static final String NONE = "none";

  /** The directory; empty where nothing is kept. */
  Optional<Path> directory() {
    return kept ? given.or(() -> Optional.of(UserCache.directory("rows"))) : Optional.empty();
  }

  /** Reads {@code auto}, {@code none} or a path. */
  record Type() implements ValueType {
    private static final ValueType FILE = new ScalarTypes.FilePath();

    @Override
    public Object read(Node node, Reading at) {
      if (node instanceof Node.Scalar scalar) {
        if (scalar.text().equals(AUTO)) {
          return new PreparedPath(Optional.empty(), true);
        }
        if (scalar.text().matches(NONE + "|false|False|FALSE")) {
          return new PreparedPath(Optional.empty(), false);
        }
      }
      Object path = FILE.read(node, at);
      return path == null ? null : new PreparedPath(Optional.of((Path) path), true);
    }

    @Override
    public Object write(Object value) {
      PreparedPath path = (PreparedPath) value;
      return path.given().map(FILE::write).orElse(path.kept() ? AUTO : NONE);
    }

    @Override
    public String expected() {
      return "'auto', 'none' or a directory";
    }
  }
}
