package ai.nibble.recipe;

import ai.nibble.FileSum;
import ai.nibble.InvalidInputException;
import ai.nibble.checkpoint.SavedCheckpoint;
import ai.nibble.lora.AdapterStore;
import ai.nibble.model.ModelStore;
import ai.nibble.report.ProvenanceFile;
import ai.nibble.report.RunFile;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** An adapter or model that a run has left in an output directory, and what it says of itself. */
final class EarlierResult {
  private final Path output;
  private final String weights;
  private final Optional<ProvenanceFile> provenance;
  private final String unknown;

  /**
   * @param weights the file's name
   * @param unknown why there is no provenance
   */
  private EarlierResult(
      Path output, String weights, Optional<ProvenanceFile> provenance, String unknown) {
    this.output = output;
    this.weights = weights;
    this.provenance = provenance;
    this.unknown = unknown;
  }

  /** What is there; empty where nothing was trained to the end. */
  static Optional<EarlierResult> in(Path output) throws IOException {
    for (String weights : List.of(AdapterStore.WEIGHTS, ModelStore.WEIGHTS)) {
      if (Files.exists(output.resolve(weights))) {
        try {
          return Optional.of(
              new EarlierResult(output, weights, Optional.of(ProvenanceFile.read(output)), ""));
        } catch (InvalidInputException e) {
          return Optional.of(new EarlierResult(output, weights, Optional.empty(), e.getMessage()));
        }
      }
    }
    return Optional.empty();
  }

  /** The file of its weights. */
  String weights() {
    return weights;
  }

  /** Optimizer steps in it, where that is known. */
  Optional<Integer> step() {
    return provenance.map(ProvenanceFile::step);
  }

  /** What differs from another run's settings; empty also where nothing is known of it. */
  List<String> otherSettings(Recipe recipe) {
    return provenance
        .map(
            p ->
                SavedCheckpoint.differences(
                    RunIdentity.settings(recipe, p.identity()), RunIdentity.settings(recipe)))
        .orElse(List.of());
  }

  /**
   * Why it is not the whole result of a run that came to its end; empty where it is.
   *
   * @param identity of the run that is meant
   */
  Optional<String> difference(Map<String, String> identity) throws IOException {
    if (provenance.isEmpty()) {
      return Optional.of("which is not known to be this run's (" + unknown + ")");
    }
    ProvenanceFile written = provenance.get();
    List<String> differences = SavedCheckpoint.differences(written.identity(), identity);
    if (!differences.isEmpty()) {
      return Optional.of(ofAnother(differences));
    }
    for (Map.Entry<String, FileSum> file : written.files().entrySet()) {
      // a start that went no further has written the recipe anew
      Optional<String> damage =
          file.getKey().equals(TrainedWith.RECIPE)
              ? Optional.empty()
              : file.getValue().difference(output.resolve(file.getKey()));
      if (damage.isPresent()) {
        String what = file.getKey().equals(weights) ? "which" : "whose " + file.getKey();
        return Optional.of(what + " " + damage.get());
      }
    }
    if (written.step() == written.totalSteps() || cameToEnd()) {
      return Optional.empty();
    }
    return Optional.of(
        "of step " + written.step() + " of " + written.totalSteps() + ", where its run ended");
  }

  /** In words that follow its name. */
  static String ofAnother(List<String> differences) {
    return "which is another run's (" + String.join("; ", differences) + ")";
  }

  private boolean cameToEnd() throws IOException {
    try {
      return RunFile.read(output)
          .map(run -> run.sessions().get(run.sessions().size() - 1).cameToEnd())
          .orElse(false);
    } catch (InvalidInputException e) {
      return false; // not a file that we can tell it by
    }
  }
}
