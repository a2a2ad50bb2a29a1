package ai.nibble.data.stored;

import java.io.IOException;

/** A file of examples is not what was written. */
final class DamagedFileException extends IOException {
  private static final long serialVersionUID = 1;

  DamagedFileException(String what) {
    super(what);
  }
}
