package ai.nibble.eval;

import ai.nibble.eval.Evaluation.Measured;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

/**
 * Models side by side, a row each: every metric with its standard error, and from the second row on
 * its difference to the first row's with that of the paired difference.
 */
public final class ResultTable {
  private static final JsonMapper JSON = JsonMapper.builder().build();
  private static final double MEGA = 1e6;

  private final List<Measured> rows;

  /**
   * @param rows at least one, measured on the same tasks
   */
  public ResultTable(List<Measured> rows) {
    this.rows = List.copyOf(rows);
  }

  /** The table in Markdown, with columns of one width. */
  public String markdown() {
    List<List<String>> cells = new ArrayList<>();
    cells.add(header());
    rows.forEach(row -> cells.add(cells(row)));
    int columns = cells.get(0).size();
    int[] widths =
        IntStream.range(0, columns)
            .map(c -> cells.stream().mapToInt(line -> line.get(c).length()).max().orElse(0))
            .toArray();
    String rule =
        IntStream.range(0, columns)
            .mapToObj(c -> "-".repeat(widths[c] + 1) + (c == 0 ? "-" : ":"))
            .collect(Collectors.joining("|", "|", "|\n"));
    StringBuilder table = new StringBuilder(line(cells.get(0), widths)).append(rule);
    cells.subList(1, cells.size()).forEach(row -> table.append(line(row, widths)));
    return table.toString();
  }

  private static String line(List<String> cells, int[] widths) {
    return IntStream.range(0, widths.length)
        .mapToObj(c -> padded(cells.get(c), widths[c], c == 0))
        .collect(Collectors.joining(" | ", "| ", " |\n"));
  }

  private static String padded(String cell, int width, boolean left) {
    String blanks = " ".repeat(width - cell.length());
    return left ? cell + blanks : blanks + cell;
  }

  private boolean hasCosts() {
    return rows.stream().anyMatch(row -> row.cost().isPresent());
  }

  private List<String> header() {
    List<String> names = new ArrayList<>(List.of("model"));
    rows.get(0)
        .metrics()
        .forEach(
            (task, metrics) ->
                metrics.forEach(
                    m -> names.add(task.equals(m.name()) ? task : task + " " + m.name())));
    if (hasCosts()) {
      names.addAll(
          List.of("weights MB", "peak MB", "peak MB decoding", "load s", "decoding tokens/s"));
    }
    return names;
  }

  private List<String> cells(Measured row) {
    List<String> cells = new ArrayList<>(List.of(row.variant()));
    row.metrics()
        .forEach(
            (task, metrics) -> {
              for (int m = 0; m < metrics.size(); m++) {
                cells.add(cell(metrics.get(m), reference(row, task, m)));
              }
            });
    if (hasCosts()) {
      cells.addAll(row.cost().map(ResultTable::cells).orElseGet(() -> List.of("", "", "", "", "")));
    }
    return cells;
  }

  /** What a metric is compared with; empty in the first row. */
  private Optional<Metric> reference(Measured row, String task, int index) {
    return row == rows.get(0)
        ? Optional.empty()
        : Optional.of(rows.get(0).metrics().get(task).get(index));
  }

  private static String cell(Metric metric, Optional<Metric> reference) {
    String digits = metric.exponential() ? "%.3f" : "%.4f";
    return shown(digits, metric.estimate())
        + reference
            .map(r -> " (" + shown("%+" + digits.substring(1), metric.minus(r)) + ")")
            .orElse("");
  }

  private static String shown(String format, Estimate estimate) {
    String value = String.format(Locale.ROOT, format, estimate.value());
    return Double.isNaN(estimate.standardError())
        ? value
        : value
            + String.format(Locale.ROOT, " ± " + format.replace("+", ""), estimate.standardError());
  }

  private static List<String> cells(Cost cost) {
    return List.of(
        rounded("%.1f", cost.weightBytes() / MEGA),
        rounded("%.0f", cost.scoringPeakBytes() / MEGA),
        rounded("%.0f", cost.peakBytes() / MEGA),
        rounded("%.1f", cost.loadSeconds()),
        rounded("%.1f", cost.tokensPerSecond()));
  }

  private static String rounded(String format, double value) {
    return String.format(Locale.ROOT, format, value);
  }

  /**
   * All numbers: {@code results}, one object for each variant, task and metric, with {@code value},
   * {@code stderr}, {@code items} and from the second variant on {@code difference} and {@code
   * difference_stderr} to the first; and {@code costs}, where they were measured. A standard error
   * is null where there is a single item.
   */
  public String json(String model) {
    ObjectNode root = JSON.createObjectNode().put("model", model);
    ArrayNode results = root.putArray("results");
    for (Measured row : rows) {
      row.metrics()
          .forEach(
              (task, metrics) -> {
                for (int m = 0; m < metrics.size(); m++) {
                  ObjectNode node = results.addObject();
                  node.put("variant", row.variant()).put("weights", row.weights());
                  put(node.put("task", task), metrics.get(m), reference(row, task, m));
                }
              });
    }
    ArrayNode costs = root.putArray("costs");
    rows.forEach(
        row ->
            row.cost()
                .ifPresent(
                    cost -> {
                      ObjectNode node = costs.addObject().put("variant", row.variant());
                      node.setAll((ObjectNode) JSON.valueToTree(cost));
                    }));
    return root.toPrettyString() + "\n";
  }

  private static void put(ObjectNode node, Metric metric, Optional<Metric> reference) {
    put(node.put("metric", metric.name()), "value", "stderr", metric.estimate());
    node.put("items", metric.items());
    reference.ifPresent(r -> put(node, "difference", "difference_stderr", metric.minus(r)));
  }

  private static void put(ObjectNode node, String value, String error, Estimate estimate) {
    node.put(value, estimate.value());
    node.put(
        error, Double.isNaN(estimate.standardError()) ? null : (Double) estimate.standardError());
  }
}
