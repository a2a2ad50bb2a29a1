package ai.nibble.recipe;

import ai.nibble.FileSum;
import ai.nibble.model.Trainable;
import ai.nibble.nn.ParameterSet;
import ai.nibble.report.Environment;
import ai.nibble.report.ProvenanceFile;
import ai.nibble.train.log.StepMetrics;
import ai.nibble.train.log.TrainListener;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.file.Path;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Writes {@code provenance.json} beside whatever a run saves: it stands around what is trained, and
 * hears as a listener how far the run is.
 */
final class RunProvenance implements TrainListener {
  private static final ObjectMapper JSON = new ObjectMapper();

  private final Facts facts;
  private final JsonNode recipe;
  private int step;
  private long tokens;

  /**
   * What is known before the first step.
   *
   * @param started when the run began
   * @param resumedFrom steps whose checkpoints it was gone on from, the earliest first
   * @param base its files
   * @param data the files of rows
   * @param identity with the rows as encoded
   */
  record Facts(
      Recipe recipe,
      int totalSteps,
      String started,
      String computeDtype,
      Environment environment,
      List<Integer> resumedFrom,
      ProvenanceFile.Base base,
      List<ProvenanceFile.Data> data,
      RunIdentity identity) {}

  /**
   * @param step optimizer steps done before, and
   * @param tokens trained on in them
   */
  RunProvenance(Facts facts, int step, long tokens) {
    this.facts = facts;
    this.recipe = JSON.valueToTree(Schema.RECIPE.write(facts.recipe()));
    this.step = step;
    this.tokens = tokens;
  }

  /** This moment as the files have it. */
  static String now() {
    return Instant.now().truncatedTo(ChronoUnit.SECONDS).toString();
  }

  @Override
  public void stepEnded(StepMetrics metrics) {
    step = metrics.step();
    tokens = metrics.tokens();
  }

  @Override
  public void restored(int best, long tokensOfBest) {
    step = best;
    tokens = tokensOfBest;
  }

  /** The same to train, with its provenance wherever it is saved. */
  Trainable around(Trainable trained) {
    return new Recorded(trained);
  }

  private void write(Path directory) throws IOException {
    Map<String, FileSum> files = new LinkedHashMap<>();
    for (String name : OutputFolder.trainedFiles(directory)) {
      files.put(name, FileSum.of(directory.resolve(name)));
    }
    Path output = facts.recipe().output().outputDir();
    new ProvenanceFile(
            ProvenanceFile.VERSION,
            String.valueOf(output.getFileName()),
            step,
            facts.totalSteps(),
            tokens,
            facts.started(),
            now(),
            facts.resumedFrom(),
            facts.identity().values(),
            facts.recipe().seed(),
            facts.computeDtype(),
            facts.environment(),
            facts.base(),
            facts.data(),
            facts.identity().rowSums(),
            recipe,
            files)
        .write(directory);
  }

  private final class Recorded implements Trainable {
    private final Trainable trained;

    Recorded(Trainable trained) {
      this.trained = trained;
    }

    @Override
    public ParameterSet parameters() {
      return trained.parameters();
    }

    @Override
    public List<String> withoutGradient() {
      return trained.withoutGradient();
    }

    @Override
    public Map<String, Double> updateNorms() {
      return trained.updateNorms();
    }

    @Override
    public void save(Path directory, String baseModel) throws IOException {
      trained.save(directory, baseModel);
      write(directory);
    }

    @Override
    public void saveUnfinished(Path directory, String baseModel) throws IOException {
      trained.saveUnfinished(directory, baseModel);
      write(directory);
    }

    @Override
    public void close() {
      trained.close();
    }
  }
}
