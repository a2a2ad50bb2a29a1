package ai.nibble.data;

import ai.nibble.InvalidInputException;
import java.io.Closeable;
import java.io.IOException;
import java.util.Map;

/** How the rows of one kind of file are read. */
interface RowReader extends Closeable {
  /**
   * A row as it stands.
   *
   * @param columns JSON values by name
   * @param where the file and place, for messages
   */
  record Raw(Map<String, Object> columns, String where) {}

  /**
   * The next row; null behind the last.
   *
   * @throws InvalidInputException for a row that cannot be read. The next call goes on behind it;
   *     where nobody can say what is behind it, the rows end there.
   */
  Raw next() throws IOException;

  /** The columns that every row has, with their types; empty where each row has its own. */
  default Map<String, String> columns() {
    return Map.of();
  }
}
