package ai.nibble.cli;

import ai.nibble.data.EncodingSummary;
import ai.nibble.recipe.Coverage;
import ai.nibble.recipe.Inspection;
import ai.nibble.recipe.Recipe;
import ai.nibble.recipe.TokenSummary;
import java.io.PrintWriter;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.function.ToLongFunction;
import java.util.stream.Collectors;

/** An inspection for people. */
final class InspectText {
  private static final int LABEL_WIDTH = 16;

  private final Inspection found;
  private final Recipe recipe;
  private final PrintWriter out;
  private final SampleText samples;

  /**
   * @param colours whether the output shows them; else brackets mark what carries loss
   */
  InspectText(Inspection found, Recipe recipe, PrintWriter out, boolean colours) {
    this.found = found;
    this.recipe = recipe;
    this.out = out;
    this.samples = new SampleText(out, colours);
  }

  void print() {
    model();
    rows();
    run();
    warnings(found).forEach(warning -> out.println("warning: " + warning));
    samples.print(found.samples(), recipe.method().comparesAnswers());
    out.flush();
  }

  private void model() {
    Coverage coverage = found.coverage();
    line(
        "model",
        "%s: %,d layers, %,d weights",
        recipe.baseModel().getFileName(),
        coverage.layers(),
        coverage.baseParameters());
    found.vocabulary().lines().forEach(line -> line("", "%s", line));
    if (coverage.modules().isEmpty()) {
      line("trained", "all weights, %,d", coverage.parameters());
      return;
    }
    line(
        "adapter",
        "%,d of %,d linears, %,d parameters, %.2f %% of base and adapter",
        coverage.modules().stream().mapToInt(Coverage.Module::adapted).sum(),
        coverage.modules().stream().mapToInt(Coverage.Module::count).sum(),
        coverage.parameters(),
        100 * coverage.share());
    for (Coverage.Module module : coverage.modules()) {
      String ranks = module.ranks().stream().map(String::valueOf).collect(Collectors.joining(", "));
      line(
          "  " + module.name(),
          "%,d of %,d%s",
          module.adapted(),
          module.count(),
          module.adapted() == 0
              ? ""
              : String.format(Locale.ROOT, ", r %s, %,d", ranks, module.parameters()));
    }
  }

  private void rows() {
    TokenSummary tokens = found.tokens();
    int[] lengths = tokens.lengths();
    line("rows", "%,d to train on, %,d to evaluate on", tokens.rows(), found.evalRows());
    found.notes().forEach(note -> line("", "%s", note));
    line(
        "tokens",
        "%,d, of which %,d carry loss (%.1f %%)",
        tokens.tokens(),
        tokens.lossTokens(),
        100.0 * tokens.lossTokens() / tokens.tokens());
    line(
        recipe.method().comparesAnswers() ? "each sequence" : "lengths",
        "%,d to %,d, median %,d, 95 %% up to %,d; sequence_len %,d",
        lengths[0],
        lengths[lengths.length - 1],
        tokens.length(0.5),
        tokens.length(0.95),
        recipe.data().sequenceLen());
    new LengthHistogram(lengths).lines().forEach(line -> line("", "%s", line));
    line(
        "too long",
        "%,d left out, %,d cut",
        sum(found, EncodingSummary::tooLong),
        sum(found, EncodingSummary::truncated));
    String ends =
        tokens.ends().entrySet().stream()
            .map(
                e ->
                    String.format(
                        Locale.ROOT, "%s (%,d)", SampleText.shown(e.getKey()), e.getValue()))
            .collect(Collectors.joining(", "));
    line("trained turns", "%,d%s", tokens.turns(), ends.isEmpty() ? "" : ", ending in " + ends);
    if (!tokens.bos().isEmpty()) {
      line(
          "begin",
          "with %s: %,d rows; twice: %,d",
          SampleText.shown(tokens.bos()),
          tokens.bosRows(),
          tokens.doubledBosRows());
    }
  }

  private void run() {
    found.packing().ifPresent(packing -> line("packing", "%s", packing));
    line("steps", "%,d an epoch, %,d in all", found.stepsPerEpoch(), found.totalSteps());
  }

  /** What is allowed, and rarely meant. */
  static List<String> warnings(Inspection found) {
    List<String> warnings = new ArrayList<>();
    TokenSummary tokens = found.tokens();
    if (tokens.withoutEnd() > 0) {
      warnings.add(
          String.format(
              Locale.ROOT,
              "%,d of %,d trained turns end in no control token, so that nothing teaches the model"
                  + " to stop there: look at train_on_eos, the chat template, and rows that were"
                  + " cut",
              tokens.withoutEnd(),
              tokens.turns()));
    }
    if (tokens.doubledBosRows() > 0) {
      warnings.add(
          String.format(
              Locale.ROOT,
              "%,d rows begin with %s twice: take it out of the chat template or of the rows",
              tokens.doubledBosRows(),
              SampleText.shown(tokens.bos())));
    }
    return warnings;
  }

  static long sum(Inspection found, ToLongFunction<EncodingSummary> count) {
    return found.summaries().stream().mapToLong(count).sum();
  }

  private void line(String label, String format, Object... values) {
    String text = String.format(Locale.ROOT, format, values);
    out.printf(Locale.ROOT, "%-" + LABEL_WIDTH + "s%s%n", label, text);
  }
}
