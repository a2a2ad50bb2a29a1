package ai.nibble.eval.task;

import ai.nibble.InvalidInputException;
import ai.nibble.data.Row;
import ai.nibble.data.RowFile;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/**
 * HellaSwag (Zellers et al. 2019) as {@code Rowan/hellaswag} publishes it: {@code activity_label},
 * {@code ctx_a}, {@code ctx_b}, {@code endings}, {@code label}. The context is {@code "label: ctx_a
 * Ctx_b"} with the second part capitalised; marks of WikiHow such as {@code [title]} are taken out.
 *
 * <p>Or as llama.cpp reads it, in a {@code .txt} of six lines an item: context, index of the right
 * ending, four endings, taken as they are.
 */
final class HellaSwagFormat implements ChoiceFormat {
  private static final int LINES = 6;

  @Override
  public String name() {
    return "hellaswag";
  }

  @Override
  public ChoiceItem read(Row row) {
    if (row.has("context")) {
      return new GenericChoiceFormat().read(row);
    }
    String second = row.text("ctx_b");
    String context = row.text("activity_label") + ": " + row.text("ctx_a");
    List<String> endings =
        ChoiceItem.texts(row, "endings", row.value("endings")).stream()
            .map(HellaSwagFormat::cleaned)
            .toList();
    int answer = ChoiceItem.answer(row, "label", 0, endings.size());
    return ChoiceItem.of(row, cleaned(context + " " + capitalized(second)), endings, answer);
  }

  /** As Python's {@code str.capitalize}: the first letter large, all others small. */
  private static String capitalized(String text) {
    if (text.isEmpty()) {
      return text;
    }
    int first = text.offsetByCodePoints(0, 1);
    return text.substring(0, first).toUpperCase(Locale.ROOT)
        + text.substring(first).toLowerCase(Locale.ROOT);
  }

  private static String cleaned(String text) {
    return text.strip().replace(" [title]", ". ").replaceAll("\\[.*?]", "").replace("  ", " ");
  }

  @Override
  public Iterator<Row> rows(Path file, RowFile rows) {
    return file.getFileName().toString().toLowerCase(Locale.ROOT).endsWith(".txt")
        ? new SixLines(rows)
        : rows;
  }

  /** Six lines each, as one row in the generic form. */
  private record SixLines(Iterator<Row> lines) implements Iterator<Row> {
    @Override
    public boolean hasNext() {
      return lines.hasNext();
    }

    @Override
    public Row next() {
      List<String> item = new ArrayList<>();
      Row first = lines.next();
      item.add(first.text("text"));
      while (item.size() < LINES && lines.hasNext()) {
        item.add(lines.next().text("text"));
      }
      if (item.size() < LINES) {
        throw new InvalidInputException(
            first.where()
                + ": the last item has "
                + item.size()
                + " lines, expected six: context, index of the right ending, four endings");
      }
      Map<String, Object> columns =
          Map.of("context", item.get(0), "answer", item.get(1), "choices", item.subList(2, LINES));
      return new Row(columns, first.where(), first.number(), Map.of());
    }
  }
}
