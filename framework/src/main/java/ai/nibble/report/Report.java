package ai.nibble.report;

import ai.nibble.InvalidInputException;
import ai.nibble.Sha256;
import ai.nibble.WholeFile;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.Base64;

/**
 * {@code report.html}: a run on one page, from the files in its output directory.
 *
 * <p>The page needs nothing else and fetches nothing: it opens from a disk. What it shows of others
 * (rows, answers, paths, messages) is escaped; besides, its content security policy lets no script
 * run but the one that draws the curves, known by its hash. Long runs are drawn with few points, so
 * the page stays below a megabyte.
 */
public final class Report {
  /** Its name in the output directory. */
  public static final String NAME = "report.html";

  private static final String STYLE = resource("report.css");
  private static final String SCRIPT = resource("report.js");

  private Report() {}

  /**
   * Writes it, whole or not at all; one that is there is replaced.
   *
   * @param directory the run's output directory
   * @return the page
   * @throws InvalidInputException if no run wrote there, or one of its files is damaged
   * @throws IOException if it cannot be read or written
   */
  public static Path write(Path directory) throws IOException {
    Path file = directory.resolve(NAME);
    WholeFile.write(file, page(RunFolder.read(directory)));
    return file;
  }

  private static String page(RunFolder folder) {
    Html html = new Html();
    html.raw("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    html.raw("<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none';")
        .raw(" style-src 'sha256-" + hash(STYLE) + "'; script-src 'sha256-" + hash(SCRIPT) + "';")
        .raw(" base-uri 'none'; form-action 'none'\">\n");
    html.raw("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
    html.element("title", folder.name() + " · Nibble");
    html.raw("\n<style>" + STYLE + "</style>\n</head>\n<body>\n<main>\n");
    new SummarySection(folder).write(html);
    Charts charts = new Charts(folder.metrics());
    if (!charts.isEmpty()) {
      html.raw("<section>\n<h2>Curves</h2>\n<noscript><p class=\"note\">They are drawn by a");
      html.raw(" script; the numbers are in metrics.jsonl.</p></noscript>\n");
      charts.write(html);
      html.raw("</section>\n");
    }
    new AnswerSection(folder.answers()).write(html);
    folder.run().ifPresent(run -> new DataSection(run).write(html));
    new DetailSections(folder).write(html);
    html.raw("<footer>");
    html.element("small", "Made by Nibble. 'nibble report DIR' makes it anew.");
    html.raw("</footer>\n</main>\n<script type=\"application/json\" id=\"curves-data\">");
    html.raw(charts.json()).raw("</script>\n<script>" + SCRIPT + "</script>\n</body>\n</html>\n");
    return html.toString();
  }

  private static String hash(String text) {
    MessageDigest sum = Sha256.start();
    return Base64.getEncoder().encodeToString(sum.digest(text.getBytes(StandardCharsets.UTF_8)));
  }

  private static String resource(String name) {
    try (InputStream in = Report.class.getResourceAsStream(name)) {
      return new String(in.readAllBytes(), StandardCharsets.UTF_8);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }
}
