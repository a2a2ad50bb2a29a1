package ai.nibble.data.format;

import ai.nibble.data.Row;
import ai.nibble.data.Sample;

/** {@code text}: text as it stands, all of it trained. */
final class TextFormat implements RowFormat {
  private final String name;

  /**
   * @param name {@code text} or {@code completion}, two names of one format
   */
  TextFormat(String name) {
    this.name = name;
  }

  @Override
  public String name() {
    return name;
  }

  @Override
  public Sample read(Row row) {
    return new Sample.Text("", row.text("text"));
  }
}
