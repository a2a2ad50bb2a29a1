package ai.nibble.report;

import ai.nibble.FileSum;
import ai.nibble.train.log.Console;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** What one looks up: checkpoints, sessions, settings, machine, provenance. */
final class DetailSections {
  /** Lines of a table, and characters of a recipe, that are shown. */
  private static final int MOST_LINES = 100;

  private static final int MOST_RECIPE = 60_000;

  private final RunFolder folder;

  DetailSections(RunFolder folder) {
    this.folder = folder;
  }

  void write(Html html) {
    checkpoints(html);
    recipe(html);
    folder.run().ifPresent(run -> machine(html, run));
    folder.provenance().ifPresent(provenance -> provenance(html, provenance));
  }

  private void checkpoints(Html html) {
    List<RunFolder.Saved> all = folder.checkpoints();
    if (all.isEmpty()) {
      return;
    }
    html.raw("<section>\n<h2>Checkpoints</h2>\n<div class=\"scroll\"><table><thead><tr>");
    html.element("th", "Directory");
    for (String head : List.of("Step", "Loss", "Evaluation loss", "Size")) {
      html.element("th", "n", head);
    }
    html.raw("</tr></thead><tbody>\n");
    for (RunFolder.Saved saved : all.subList(Math.max(0, all.size() - MOST_LINES), all.size())) {
      html.raw("<tr>").element("td", saved.name()).element("td", "n", Html.count(saved.step()));
      html.element("td", "n", at(Metrics.Field.LOSS, saved.step()));
      html.element("td", "n", at(Metrics.Field.EVAL_LOSS, saved.step()));
      html.element("td", "n", Console.bytes(saved.bytes())).raw("</tr>\n");
    }
    html.raw("</tbody></table></div>\n");
    if (all.size() > MOST_LINES) {
      html.element("p", "note", "The newest " + MOST_LINES + " of " + all.size() + ".");
    }
    html.raw("</section>\n");
  }

  private String at(Metrics.Field field, int step) {
    Metrics.Series series = folder.metrics().of(field);
    for (int i = 0; i < series.size(); i++) {
      if (series.step(i) == step) {
        return Html.number(series.value(i));
      }
    }
    return "–";
  }

  private void recipe(Html html) {
    if (!folder.recipe().isEmpty()) {
      html.raw("<section>\n<h2>Recipe</h2>\n");
      html.element("p", "note", "All keys, defaults filled in, as recipe.yaml beside this page.");
      String text = Html.shortened(folder.recipe().strip(), MOST_RECIPE);
      html.element("pre", "recipe", text).raw("\n</section>\n");
    }
  }

  private static void fact(Html html, String name, String value) {
    if (!value.isEmpty()) {
      html.element("dt", name).element("dd", value);
    }
  }

  private static void machine(Html html, RunFile run) {
    RunFile.Model model = run.model();
    html.raw("<section>\n<h2>Machine</h2>\n<dl class=\"facts\">\n");
    Optional.ofNullable(run.environment()).ifPresent(environment -> machine(html, environment));
    fact(html, "Base", model.base());
    fact(
        html,
        "Weights",
        model.layers() + " layers, " + Console.bytes(model.weightBytes()) + " as loaded");
    fact(html, "Computed in", model.computeDtype());
    Optional.ofNullable(model.vocabulary()).ifPresent(changed -> vocabulary(html, changed));
    html.raw("</dl>\n");
    if (run.sessions().size() > 1) {
      sessions(html, run.sessions());
    }
    html.raw("</section>\n");
  }

  private static void machine(Html html, Environment here) {
    String commit = here.commit().isEmpty() ? "" : ", commit " + here.commit();
    fact(html, "Nibble", here.nibble() + commit);
    fact(html, "libtorch", here.libtorch());
    fact(html, "Java", here.java());
    fact(html, "System", here.os());
    fact(html, "Processor", here.cpu() + ", " + here.threads() + " threads");
    fact(html, "Memory", here.memoryBytes() == 0 ? "" : Console.bytes(here.memoryBytes()));
    fact(html, "Device", here.gpu().isEmpty() ? here.device() : here.device() + ", " + here.gpu());
  }

  private static void vocabulary(Html html, RunFile.Vocabulary changed) {
    List<String> tokens = new ArrayList<>();
    changed.newTokens().forEach((text, id) -> tokens.add(text + " " + id));
    List<String> shown = tokens.subList(0, Math.min(tokens.size(), MOST_LINES));
    String more = shown.size() == tokens.size() ? "" : ", and more: " + Html.count(tokens.size());
    fact(html, "New tokens", String.join(", ", shown) + more);
    List<String> rows = new ArrayList<>();
    changed
        .trainedRows()
        .forEach((table, ids) -> rows.add(Html.count(ids.size()) + " of " + table));
    fact(html, "Rows trained by themselves", String.join(", ", rows));
    fact(
        html,
        "Embedding and head",
        changed.untiedBy() == null ? "" : "one table in the base, two by " + changed.untiedBy());
  }

  private static void sessions(Html html, List<RunFile.Session> sessions) {
    html.element("h3", "Sessions: the run was gone on with");
    html.raw("<div class=\"scroll\"><table><thead><tr><th>Began</th>");
    html.element("th", "n", "From step").element("th", "n", "To step").element("th", "n", "Time");
    html.raw("<th>Ended</th></tr></thead><tbody>\n");
    int first = Math.max(0, sessions.size() - MOST_LINES);
    for (RunFile.Session session : sessions.subList(first, sessions.size())) {
      html.raw("<tr>").element("td", SummarySection.date(session.started()));
      html.element("td", "n", Html.count(session.firstStep() + 1L));
      html.element("td", "n", Html.count(session.step()));
      html.element("td", "n", Console.duration(session.seconds()));
      html.element("td", session.status()).raw("</tr>\n");
    }
    html.raw("</tbody></table></div>\n");
  }

  private record Line(String what, String name, long bytes, String sha256) {}

  private static void provenance(Html html, ProvenanceFile provenance) {
    html.raw("<section>\n<h2>Provenance</h2>\n");
    html.element(
        "p",
        "note",
        "Of step "
            + Html.count(provenance.step())
            + ", seed "
            + provenance.seed()
            + ". 'nibble verify' compares these sums with what is there.");
    List<Line> lines = new ArrayList<>();
    add(lines, "output", provenance.files());
    add(lines, "base", provenance.base().files());
    provenance.data().forEach(d -> lines.add(new Line(d.key(), d.path(), d.bytes(), d.sha256())));
    html.raw("<div class=\"scroll\"><table><thead><tr><th>Part</th><th>File</th>");
    html.element("th", "n", "Bytes").raw("<th>SHA-256</th></tr></thead><tbody>\n");
    for (Line line : lines.subList(0, Math.min(lines.size(), MOST_LINES))) {
      html.raw("<tr>").element("td", line.what()).element("td", "path", line.name());
      html.element("td", "n", Html.count(line.bytes()));
      html.element("td", "sum", String.valueOf(line.sha256())).raw("</tr>\n");
    }
    provenance
        .rows()
        .forEach(
            (name, rows) -> {
              html.raw("<tr><td>rows</td>");
              String what = name + ": " + Html.count(rows.rows()) + " rows as encoded";
              html.element("td", "path", what);
              html.element("td", "n", Html.count(rows.tokens()) + " tokens");
              html.element("td", "sum", String.valueOf(rows.sha256())).raw("</tr>\n");
            });
    html.raw("</tbody></table></div>\n");
    if (lines.size() > MOST_LINES) {
      html.element("p", "note", "… and " + (lines.size() - MOST_LINES) + " more in the file.");
    }
    html.raw("</section>\n");
  }

  private static void add(List<Line> lines, String what, Map<String, FileSum> files) {
    files.forEach((name, sum) -> lines.add(new Line(what, name, sum.bytes(), sum.sha256())));
  }
}
