package ai.nibble.report;

import ai.nibble.data.EncodingSummary;
import java.util.List;
import java.util.Locale;

/** What was trained on: files, rows, tokens, lengths. */
final class DataSection {
  private static final int MOST_FILES = 200;
  private static final int BAR_HEIGHT = 110;
  private static final int WIDTH = 1000;

  private final RunFile run;

  DataSection(RunFile run) {
    this.run = run;
  }

  void write(Html html) {
    html.raw("<section>\n<h2>Data</h2>\n");
    String rows = Html.count(run.trainRows()) + " rows are trained on";
    html.element(
        "p",
        "note",
        run.evalRows() == 0
            ? rows + ", none evaluated on."
            : rows + ", " + Html.count(run.evalRows()) + " evaluated on.");
    html.raw("<div class=\"scroll\"><table><thead><tr><th>File</th>");
    for (String head : List.of("Rows", "Used", "Tokens", "With loss", "Longest")) {
      html.element("th", "n", head);
    }
    html.raw("<th>Noticed</th></tr></thead><tbody>\n");
    run.data().stream().limit(MOST_FILES).forEach(data -> file(html, data));
    html.raw("</tbody></table></div>\n");
    if (run.data().size() > MOST_FILES) {
      html.element("p", "note", "… and " + (run.data().size() - MOST_FILES) + " more files");
    }
    if (run.lengths() != null) {
      lengths(html, run.lengths());
    }
    html.raw("</section>\n");
  }

  private static void file(Html html, RunFile.Data data) {
    EncodingSummary encoding = data.encoding();
    html.raw("<tr><td class=\"path\">").text(data.path());
    String weight = data.weight() == null ? "" : ", weight " + Html.number(data.weight());
    html.raw("<br>").element("small", data.key() + weight).raw("</td>");
    html.element("td", "n", Html.count(encoding.rows()));
    html.element("td", "n", Html.count(encoding.examples()));
    html.element("td", "n", Html.count(encoding.tokens()));
    String share =
        encoding.tokens() == 0
            ? "–"
            : String.format(
                Locale.ROOT, "%.1f %%", 100.0 * encoding.lossTokens() / encoding.tokens());
    html.element("td", "n", share);
    html.element("td", "n", Html.count(encoding.longest()));
    // the first line is the counts
    List<String> notes = encoding.lines().stream().skip(1).toList();
    html.raw("<td>").element("small", notes.isEmpty() ? "nothing" : String.join("; ", notes));
    html.raw("</td></tr>\n");
  }

  private static void lengths(Html html, Lengths lengths) {
    int most = lengths.counts().stream().mapToInt(Integer::intValue).max().orElse(0);
    if (most == 0) {
      return;
    }
    html.element("h3", "Length of the training rows, in tokens");
    html.element(
        "p",
        "note",
        "Shortest "
            + Html.count(lengths.shortest())
            + ", median "
            + Html.count(lengths.median())
            + ", 95 % up to "
            + Html.count(lengths.p95())
            + ", longest "
            + Html.count(lengths.longest())
            + ".");
    int height = BAR_HEIGHT + 34;
    html.raw("<svg class=\"bars\" role=\"img\" viewBox=\"0 0 " + WIDTH + " " + height + "\">");
    html.raw("<title>").text("Rows by their length").raw("</title>");
    int buckets = lengths.counts().size();
    double slot = Math.min(60, (double) WIDTH / buckets);
    for (int i = 0; i < buckets; i++) {
      bar(html, lengths, i, slot, most);
    }
    html.raw("<g class=\"axis\"><line class=\"base\" x1=\"0\" x2=\"" + WIDTH + "\"");
    html.raw(decimals(" y1=\"%.1f\" y2=\"%.1f\"/>", BAR_HEIGHT + 14.5, BAR_HEIGHT + 14.5));
    int every = Math.max(1, (int) Math.ceil(60 / slot));
    for (int i = 0; i <= buckets; i += every) {
      html.raw(decimals("<text x=\"%.1f\" y=\"%.1f\">", i * slot, height - 3.0));
      html.text(Html.count((long) i * lengths.width())).raw("</text>");
    }
    html.raw("</g></svg>\n");
  }

  private static void bar(Html html, Lengths lengths, int i, double slot, int most) {
    int rows = lengths.counts().get(i);
    if (rows == 0) {
      return;
    }
    double bar = Math.max(1, (double) BAR_HEIGHT * rows / most);
    html.raw(
        decimals(
            "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"><title>",
            i * slot + 1, BAR_HEIGHT + 14 - bar, slot - 2, bar));
    int from = i * lengths.width();
    html.text(from + " to " + (from + lengths.width() - 1) + " tokens: " + Html.count(rows));
    html.raw("</title></rect>");
  }

  private static String decimals(String format, Object... values) {
    return String.format(Locale.ROOT, format, values);
  }
}
