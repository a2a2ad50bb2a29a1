package ai.nibble.report;

import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.math.BigDecimal;
import java.math.MathContext;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.stream.Stream;

/** The curves: places for {@code report.js} to draw in, and the points it draws. */
final class Charts {
  private static final JsonMapper JSON = JsonMapper.builder().build();

  /** Six digits: more than a screen can show. */
  private static final MathContext DIGITS = new MathContext(6);

  /** Where the largest value is so many times the least, a logarithmic scale is drawn first. */
  private static final double WIDE_RANGE = 20;

  /** How a curve is drawn: the names are classes of {@code report.css}. */
  private enum Kind {
    RAW,
    LINE,
    EVAL
  }

  /** How values are written: the names are functions of {@code report.js}. */
  private enum Unit {
    PLAIN,
    RATE,
    COUNT,
    BYTES
  }

  private record Drawn(Kind kind, Curve curve) {}

  /**
   * One chart.
   *
   * @param mayBeLog whether a logarithmic scale can be chosen
   * @param zero whether the scale begins there
   */
  private record Chart(
      String id,
      String title,
      Unit unit,
      boolean mayBeLog,
      boolean zero,
      Metrics.Series series,
      List<Drawn> curves) {
    boolean isLog() {
      double[] sorted = series.sorted();
      return mayBeLog
          && sorted.length > 0
          && sorted[0] > 0
          && sorted[sorted.length - 1] / sorted[0] > WIDE_RANGE;
    }
  }

  private final List<Chart> charts;

  Charts(Metrics metrics) {
    Metrics.Series loss = metrics.of(Metrics.Field.LOSS);
    Metrics.Series eval = metrics.of(Metrics.Field.EVAL_LOSS);
    int window = Curve.window(loss.size());
    String smoothed = "smoothed over " + Html.count(window) + " steps";
    List<Drawn> losses = new ArrayList<>(smoothed("loss", smoothed, loss));
    if (eval.size() > 0) {
      losses.add(new Drawn(Kind.EVAL, Curve.of("evaluation loss", eval)));
    }
    Metrics.Series rate = metrics.of(Metrics.Field.LEARNING_RATE);
    Metrics.Series norm = metrics.of(Metrics.Field.GRAD_NORM);
    Metrics.Series speed = metrics.of(Metrics.Field.TOKENS_PER_SECOND);
    Metrics.Series memory = metrics.of(Metrics.Field.MEMORY);
    charts =
        Stream.of(
                new Chart("loss", "Loss", Unit.PLAIN, true, false, loss, losses),
                rewards(metrics),
                evaluated(
                    "reward_margin",
                    "Reward margin",
                    metrics.of(Metrics.Field.REWARD_MARGIN),
                    metrics.of(Metrics.Field.EVAL_REWARD_MARGIN)),
                evaluated(
                    "reward_accuracy",
                    "Reward accuracy",
                    metrics.of(Metrics.Field.REWARD_ACCURACY),
                    metrics.of(Metrics.Field.EVAL_REWARD_ACCURACY)),
                new Chart(
                    "grad_norm",
                    "Gradient norm",
                    Unit.PLAIN,
                    true,
                    true,
                    norm,
                    smoothed("before clipping", "smoothed", norm)),
                single("learning_rate", "Learning rate", Unit.RATE, rate),
                new Chart(
                    "tokens_per_second",
                    "Tokens a second",
                    Unit.COUNT,
                    false,
                    true,
                    speed,
                    smoothed("tokens/s", "smoothed", speed)),
                single("memory", "Memory", Unit.BYTES, memory))
            .filter(chart -> chart.series().sorted().length > 0)
            .toList();
  }

  /** What good and bad answers are taken to be worth; empty where there are no preferences. */
  private static Chart rewards(Metrics metrics) {
    Metrics.Series chosen = metrics.of(Metrics.Field.REWARD_CHOSEN);
    Metrics.Series rejected = metrics.of(Metrics.Field.REWARD_REJECTED);
    List<Drawn> curves =
        List.of(
            new Drawn(Kind.LINE, Curve.smoothed("chosen", chosen)),
            new Drawn(Kind.EVAL, Curve.smoothed("rejected", rejected)));
    return new Chart("rewards", "Rewards, smoothed", Unit.PLAIN, false, false, chosen, curves);
  }

  /** A curve of the steps, and beside it that of the evaluations where there are any. */
  private static Chart evaluated(
      String id, String title, Metrics.Series series, Metrics.Series eval) {
    List<Drawn> curves = new ArrayList<>(smoothed("of a step", "smoothed", series));
    if (eval.size() > 0) {
      curves.add(new Drawn(Kind.EVAL, Curve.of("of the evaluation rows", eval)));
    }
    return new Chart(id, title, Unit.PLAIN, false, false, series, curves);
  }

  private static Chart single(String id, String title, Unit unit, Metrics.Series series) {
    Drawn line = new Drawn(Kind.LINE, Curve.of(title.toLowerCase(Locale.ROOT), series));
    return new Chart(id, title, unit, false, true, series, List.of(line));
  }

  /** The values and their smoothed line; of few values, a line of these. */
  private static List<Drawn> smoothed(String name, String smoothedName, Metrics.Series series) {
    if (series.size() < 2 * Curve.window(series.size())) {
      return List.of(new Drawn(Kind.LINE, Curve.of(name, series)));
    }
    return List.of(
        new Drawn(Kind.RAW, Curve.of(name, series)),
        new Drawn(Kind.LINE, Curve.smoothed(smoothedName, series)));
  }

  boolean isEmpty() {
    return charts.isEmpty();
  }

  /** The places, the first across the page. */
  void write(Html html) {
    html.raw("<div class=\"charts\">\n");
    for (int i = 0; i < charts.size(); i++) {
      Chart chart = charts.get(i);
      html.raw("<figure data-curve=\"" + chart.id() + "\"" + (i == 0 ? " class=\"wide\"" : ""))
          .raw("><figcaption>")
          .element("b", chart.title());
      if (chart.curves().size() > 1) {
        chart
            .curves()
            .forEach(
                drawn ->
                    html.element("span", "legend " + word(drawn.kind()), drawn.curve().name()));
      }
      if (chart.mayBeLog() && chart.series().sorted()[0] > 0) {
        html.raw("<button type=\"button\" hidden>log scale</button>");
      }
      html.raw("<output></output></figcaption><svg role=\"img\" aria-label=\"")
          .text(description(chart))
          .raw("\"></svg></figure>\n");
    }
    html.raw("</div>\n");
  }

  private static String word(Enum<?> value) {
    return value.name().toLowerCase(Locale.ROOT);
  }

  private static String description(Chart chart) {
    Metrics.Series series = chart.series();
    return chart.title()
        + ": "
        + Html.number(series.first())
        + " at step "
        + series.step(0)
        + ", "
        + Html.number(series.last())
        + " at step "
        + series.step(series.size() - 1);
  }

  /** The points. Numbers and names of ours, in which nothing can end the element they stand in. */
  String json() {
    ObjectNode all = JSON.createObjectNode();
    for (Chart chart : charts) {
      ObjectNode json = all.putObject(chart.id());
      json.put("unit", word(chart.unit()));
      json.put("log", chart.isLog());
      json.put("zero", chart.zero());
      ArrayNode curves = json.putArray("curves");
      for (Drawn drawn : chart.curves()) {
        ObjectNode curve = curves.addObject();
        curve.put("name", drawn.curve().name());
        curve.put("kind", word(drawn.kind()));
        ArrayNode x = curve.putArray("x");
        drawn.curve().steps().forEach(x::add);
        ArrayNode y = curve.putArray("y");
        for (double value : drawn.curve().values()) {
          if (Double.isFinite(value)) {
            y.add(new BigDecimal(value).round(DIGITS).stripTrailingZeros());
          } else {
            y.addNull();
          }
        }
      }
    }
    return all.toString();
  }
}
