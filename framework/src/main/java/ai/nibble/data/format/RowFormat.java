package ai.nibble.data.format;

import ai.nibble.InvalidInputException;
import ai.nibble.data.Row;
import ai.nibble.data.Sample;
import java.util.List;

/** How a row becomes a sample. Open: a library user may bring another. */
public interface RowFormat {
  /** The name recipes use, for example {@code alpaca}. */
  String name();

  /**
   * What the row holds.
   *
   * @throws InvalidInputException naming the row and the column that is not as expected
   */
  Sample read(Row row);

  /** The formats that recipes can name. */
  static List<RowFormat> shipped() {
    return List.of(
        new AlpacaFormat(),
        new MessagesFormat(),
        new ShareGptFormat(),
        new PromptCompletionFormat(),
        new PreferenceFormat(),
        new UnpairedPreferenceFormat(),
        new TextFormat("text"),
        new TextFormat("completion"));
  }

  /**
   * The shipped format of that name.
   *
   * @throws InvalidInputException where there is none
   */
  static RowFormat named(String name) {
    List<RowFormat> shipped = shipped();
    return shipped.stream()
        .filter(format -> format.name().equals(name))
        .findFirst()
        .orElseThrow(
            () ->
                new InvalidInputException(
                    "row type '"
                        + name
                        + "' is unknown, expected one of "
                        + shipped.stream().map(RowFormat::name).toList()));
  }
}
