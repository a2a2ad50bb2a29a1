package ai.nibble.recipe;

import java.nio.file.Path;
import java.util.Optional;

/**
 * Where a run goes on from ({@code resume_from_checkpoint}).
 *
 * @param checkpoint its directory; empty: the newest whole one in {@code output_dir}, or the
 *     beginning where there is none
 */
public record ResumeFrom(Optional<Path> checkpoint) {
  private static final String AUTO = "auto";

  /** Reads {@code auto} or a path. */
  record Type() implements ValueType {
    private static final ValueType FILE = new ScalarTypes.FilePath();

    @Override
    public Object read(Node node, Reading at) {
      if (node instanceof Node.Scalar scalar
          && (scalar.text().equals(AUTO) || scalar.text().matches("true|True|TRUE"))) {
        return new ResumeFrom(Optional.empty());
      }
      Object path = FILE.read(node, at);
      return path == null ? null : new ResumeFrom(Optional.of((Path) path));
    }

    @Override
    public Object write(Object value) {
      return ((ResumeFrom) value).checkpoint().map(FILE::write).orElse(AUTO);
    }

    @Override
    public String expected() {
      return "'auto' or the directory of a checkpoint";
    }
  }
}
