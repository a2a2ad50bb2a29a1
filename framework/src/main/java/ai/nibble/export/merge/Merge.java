package ai.nibble.export.merge;

import ai.nibble.FileProblem;
import ai.nibble.InvalidInputException;
import ai.nibble.WholeDirectory;
import ai.nibble.WholeFile;
import ai.nibble.export.ShardWriter;
import ai.nibble.lora.StoredAdapter;
import ai.nibble.model.BaseFiles;
import ai.nibble.model.CausalLm;
import ai.nibble.model.ExtendedBase;
import ai.nibble.model.ModelStore;
import ai.nibble.model.WeightSource;
import ai.nibble.quant.Quant4Config;
import ai.nibble.quant.QuantConfig;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Scope;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.function.Consumer;

/**
 * Writes adapters into a base, or takes them out again, as a Hugging Face directory that appears
 * whole and proven or not at all.
 */
public final class Merge {
  private static final int SEED = 42;

  private final MergeRequest request;
  private final Consumer<String> notices;
  private final Consumer<String> progress;

  /** Of the base's linears; empty where they are used as they are stored. */
  private Optional<QuantConfig> quantization = Optional.empty();

  private Merge(MergeRequest request, Consumer<String> notices, Consumer<String> progress) {
    this.request = request;
    this.notices = notices;
    this.progress = progress;
  }

  /**
   * Merges.
   *
   * @param notices takes a line for what is chosen or left out
   * @param progress takes a line for each part of the work that begins
   * @return what was done; where its proof does not hold there is no output
   * @throws InvalidInputException if the output exists, or base and adapters do not fit
   * @throws UncheckedIOException if the output cannot be written
   */
  public static MergeReport run(
      MergeRequest request, Consumer<String> notices, Consumer<String> progress) {
    return new Merge(request, notices, progress).run();
  }

  private MergeReport run() {
    WholeFile.requireNew(request.output(), "--output");
    try (Scope scope = new Scope()) {
      WeightSource base = scope.own(WeightSource.open(request.base(), notices));
      quantization = base.settle(request.quantization(), notices);
      HeldWeights held = scope.own(new HeldWeights(base, quantization));
      Optional<Removal> removal =
          request.undo() ? Optional.of(new Removal(request.base(), notices)) : Optional.empty();
      AdapterUpdates updates = new AdapterUpdates(adapters(base, removal, scope), held);
      MergedWeights merged = scope.own(new MergedWeights(held, updates, MergedWeights.Part.WHOLE));
      DType dtype = request.dtype().orElseGet(() -> dtypeOf(base));
      Path directory = WeightSource.directory(request.base());
      MergeRecord added = MergeRecord.of(quantization, updates.adapters());
      MergeRecord record =
          removal.map(Removal::record).orElseGet(() -> added.onto(MergeRecord.read(directory)));
      List<int[]> prompts = SamplePrompts.of(directory, base.config(), request.prompts(), notices);
      BaseFiles files = baseFiles();
      ShardWriter writer =
          new ShardWriter(new MergedContent(merged, dtype), record.metadata(), progress);
      try (WholeDirectory output = WholeDirectory.create(request.output(), "--output")) {
        requireRoom(output.path(), writer.bytes());
        int shards = writer.write(output.path(), request.maxShardBytes());
        ModelStore.saveFiles(files, merged.config(), dtype, output.path());
        record.keepGains(updates.gains(), directory, output.path());
        progress.accept("proving it on " + prompts.size() + " prompts");
        MergeProof proof = prove(base, merged, updates, output.path(), dtype, prompts);
        if (proof.holds()) {
          record.write(
              output.path(), ExtendedBase.weightsOf(request.base()), dtype, request.undo(), proof);
          output.commit();
        }
        return new MergeReport(
            (int) merged.names().stream().filter(updates::changes).count(),
            shards,
            writer.bytes(),
            dtype,
            request.undo() ? record.baseWeights() : added.baseWeights(),
            proof);
      }
    } catch (IOException e) {
      throw new UncheckedIOException(
          request.output() + ": cannot be written: " + FileProblem.reason(e), e);
    }
  }

  /** The base's, as its configuration names it; float64 is read as float32. */
  private static DType dtypeOf(WeightSource base) {
    DType dtype = base.config().dtype();
    return dtype.bytes() > Float.BYTES ? DType.FLOAT32 : dtype;
  }

  private List<MergedAdapter> adapters(WeightSource base, Optional<Removal> removal, Scope scope) {
    List<MergedAdapter> adapters = new ArrayList<>();
    for (MergeRequest.Adapter adapter : request.adapters()) {
      double weight =
          removal.isPresent() ? -removal.get().take(adapter) : adapter.weight().orElse(1);
      StoredAdapter opened =
          scope.own(
              removal.isPresent()
                  ? StoredAdapter.openMerged(adapter.directory(), base)
                  : StoredAdapter.open(adapter.directory(), base));
      if (removal.isPresent()) {
        removal.get().requirePossible(opened);
      }
      List<String> ignored = opened.config().ignoredKeys();
      if (!ignored.isEmpty()) {
        notices.accept(adapter.directory() + ": keys of adapter_config.json ignored: " + ignored);
      }
      adapters.add(
          new MergedAdapter(opened, weight, removal.flatMap(taken -> taken.gains(opened))));
    }
    return adapters;
  }

  private BaseFiles baseFiles() {
    BaseFiles files = BaseFiles.read(request.base());
    if (request.chatTemplate().isEmpty()) {
      return files;
    }
    try {
      return files.withChatTemplate(Files.readString(request.chatTemplate().get()));
    } catch (IOException e) {
      throw new InvalidInputException(
          request.chatTemplate().get() + ": cannot be read: " + FileProblem.reason(e), e);
    }
  }

  private static void requireRoom(Path directory, long bytes) throws IOException {
    long free = Files.getFileStore(directory).getUsableSpace();
    if (free < bytes) {
      throw new InvalidInputException(
          String.format(
              Locale.ROOT,
              "%s: the merged weights take %.1f GB, but only %.1f GB are free there",
              directory.getParent(),
              bytes / 1e9,
              free / 1e9));
    }
  }

  private MergeProof prove(
      WeightSource base,
      MergedWeights merged,
      AdapterUpdates updates,
      Path written,
      DType dtype,
      List<int[]> prompts) {
    int vocabulary = base.config().vocabSize();
    float[] expected = expected(base, updates, prompts);
    try (WeightSource output = WeightSource.open(written, notices)) {
      float[] actual = logits(output, prompts);
      LogitDifference difference = LogitDifference.of(expected, actual, vocabulary);
      DitheredWeights moved =
          new DitheredWeights(output, dtype, name -> merged.heldDtype(name) != dtype, SEED);
      LogitDifference dithered = LogitDifference.of(actual, logits(moved, prompts), vocabulary);
      LogitDifference effect = LogitDifference.of(expected, without(base, prompts), vocabulary);
      return new MergeProof(
          expected.length / vocabulary, difference, MergeProof.bound(dithered), effect);
    }
  }

  /**
   * Base and adapters as they are used in training: the base quantised, B·A beside it. An 8-bit
   * base by its values, as LLM.int8() also quantises what it is multiplied by, which a merged
   * weight cannot repeat.
   */
  private float[] expected(WeightSource base, AdapterUpdates updates, List<int[]> prompts) {
    boolean changesQuantized =
        CausalLm.linearPaths(base.config()).stream()
            .anyMatch(path -> updates.replacing(path + ".weight").isPresent());
    // scaled or replaced weights are no longer those that were quantised
    Optional<QuantConfig> held4 =
        updates.isDora() || changesQuantized ? Optional.empty() : multipliedByValues();
    try (HeldWeights held =
            new HeldWeights(base, held4.isPresent() ? Optional.empty() : quantization);
        MergedWeights rest =
            new MergedWeights(held, updates, MergedWeights.Part.WITHOUT_PRODUCTS)) {
      return new LayerwiseLogits(rest, request.base(), held4, updates, request.device())
          .compute(prompts);
    }
  }

  private float[] without(WeightSource base, List<int[]> prompts) {
    Optional<QuantConfig> held4 = multipliedByValues();
    try (HeldWeights held =
        new HeldWeights(base, held4.isPresent() ? Optional.empty() : quantization)) {
      return new LayerwiseLogits(held, request.base(), held4, null, request.device())
          .compute(prompts);
    }
  }

  /** The quantisation where products are those with its values; else empty. */
  private Optional<QuantConfig> multipliedByValues() {
    return quantization.filter(Quant4Config.class::isInstance);
  }

  private float[] logits(WeightSource source, List<int[]> prompts) {
    return new LayerwiseLogits(source, request.output(), Optional.empty(), null, request.device())
        .compute(prompts);
  }
}
