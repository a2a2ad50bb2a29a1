package ai.nibble.cli;

import ai.nibble.export.merge.LogitDifference;
import ai.nibble.export.merge.Merge;
import ai.nibble.export.merge.MergeProof;
import ai.nibble.export.merge.MergeReport;
import ai.nibble.export.merge.MergeRequest;
import ai.nibble.export.merge.MergeRequest.Adapter;
import ai.nibble.quant.QuantConfig;
import ai.nibble.recipe.TrainedWith;
import ai.nibble.tensor.DType;
import ai.nibble.train.log.ProcessMemory;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.concurrent.Callable;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/** {@code nibble merge}. */
@Command(
    name = "merge",
    description =
        "Writes adapters into their base, as a Hugging Face directory that is proven to compute"
            + " what base and adapters do.",
    sortOptions = false,
    footer = {
      "",
      "Examples:",
      "  nibble merge --adapter out --output merged",
      "  nibble merge --adapter out --base-weights original --dtype float16 \\",
      "      --output merged",
      "  nibble merge --model base --adapter math=0.7 --adapter style=0.3 \\",
      "      --output merged",
      "  nibble merge --undo --model merged --adapter out --output base-again",
      "",
      "docs/merge.md says what is exact and what is rounded."
    })
final class MergeCommand implements Callable<Integer> {
  private static final Pattern WEIGHTED = Pattern.compile("(.+)=([^=/\\\\]*)");
  @Spec private CommandSpec spec;
  @Mixin private CommonOptions common;

  @Option(
      names = "--model",
      paramLabel = BaseArgument.LABEL,
      converter = BaseArgument.class,
      description =
          "The base model; without it: what the adapter was trained on. With --undo the merged"
              + " model.")
  private Path model;

  @Option(
      names = "--adapter",
      paramLabel = "DIR[=WEIGHT]",
      required = true,
      description =
          "An adapter in PEFT's form, and the factor of its update (default: 1). Several are"
              + " summed: PEFT's combination 'cat'.")
  private List<String> adapters;

  @Option(
      names = {"--output", "--out"},
      paramLabel = "DIR",
      required = true,
      description = "A new directory, which is there in the end whole or not at all.")
  private Path output;

  @Option(
      names = "--base-weights",
      paramLabel = "WHICH",
      description =
          "trained: as the recipe beside the adapter says that the base was held, quantised"
              + " weights dequantised (default); original: as stored; or nf4, nf4+double, fp4,"
              + " fp4+double, int8, for an adapter without a recipe.")
  private String baseWeights = BaseWeights.TRAINED;

  @Option(
      names = "--dtype",
      paramLabel = "TYPE",
      description = "bfloat16, float16 or float32 (default: the base's).")
  private String dtype;

  @Option(
      names = "--max-shard-size",
      paramLabel = "SIZE",
      description = "Most of a file, such as 500MB (default: ${DEFAULT-VALUE}).")
  private String maxShardSize = "5GB";

  @Option(
      names = "--prompts",
      paramLabel = "FILE",
      description = "Texts to prove the merge on, one a line; without it: a few built-in ones.")
  private Path prompts;

  @Mixin private DeviceOption device;

  @Option(names = "--undo", description = "Takes the adapters out of a merged model instead.")
  private boolean undo;

  @Override
  public Integer call() {
    PrintWriter out = spec.commandLine().getOut();
    PrintWriter err = spec.commandLine().getErr();
    MergeReport report = Merge.run(request(err), line -> note(err, line), line -> say(err, line));
    print(report, out);
    out.flush();
    if (report.proof().holds()) {
      return 0;
    }
    err.println(
        "error: "
            + output
            + ": the merged model is not what base and adapters compute, beyond what rounding"
            + " explains: removed");
    err.flush();
    return Failures.FAILED;
  }

  private MergeRequest request(PrintWriter err) {
    checkBaseWeights();
    Optional<DType> outputDtype = ComputeDtype.parse("--dtype", dtype, spec);
    long maxShardBytes = ShardSize.parse(maxShardSize, spec);
    List<Adapter> parsed = adapters.stream().map(this::adapter).toList();
    Map<Path, Optional<TrainedWith>> trained = new LinkedHashMap<>();
    parsed.forEach(a -> trained.put(a.directory(), TrainedWith.read(a.directory())));
    Path first = parsed.get(0).directory();
    Path base = model;
    if (base == null) {
      base = BaseOfAdapter.find(first, trained.get(first));
      note(err, "base model " + base);
    }
    // what is taken out of a merged model is in it already, its tokens too
    base =
        undo ? base : TrainedWith.baseFor(base, parsed.stream().map(Adapter::directory).toList());
    Optional<Path> template =
        trained.values().stream()
            .flatMap(Optional::stream)
            .flatMap(MergeCommand::ownTemplate)
            .findFirst();
    return new MergeRequest(
        base,
        parsed,
        quantization(trained, err),
        outputDtype,
        maxShardBytes,
        undo ? Optional.empty() : template,
        Optional.ofNullable(prompts),
        undo,
        output,
        device.device());
  }

  private void checkBaseWeights() {
    if (undo && model == null) {
      throw usage("Missing required option: --model, the merged model, with --undo");
    }
    if (undo && !baseWeights.equals(BaseWeights.TRAINED)) {
      throw usage("--base-weights says what to merge onto: leave it out with --undo");
    }
    if (!baseWeights.equals(BaseWeights.TRAINED) && !BaseWeights.named().contains(baseWeights)) {
      throw usage(
          "--base-weights is '"
              + baseWeights
              + "', expected one of [trained, "
              + String.join(", ", BaseWeights.named())
              + "]");
    }
  }

  private static Stream<Path> ownTemplate(TrainedWith trained) {
    return trained.chatTemplate().filter(Files::isRegularFile).stream();
  }

  private Optional<QuantConfig> quantization(
      Map<Path, Optional<TrainedWith>> trained, PrintWriter err) {
    if (undo) {
      return Optional.empty();
    }
    if (baseWeights.equals(BaseWeights.TRAINED)) {
      return BaseWeights.trained(trained, line -> note(err, line));
    }
    Optional<QuantConfig> chosen = BaseWeights.of(baseWeights);
    BaseWeights.requireMended(trained, chosen);
    return chosen;
  }

  private Adapter adapter(String text) {
    Matcher weighted = WEIGHTED.matcher(text);
    if (Files.isDirectory(Path.of(text)) || !weighted.matches()) {
      return new Adapter(Path.of(text), OptionalDouble.empty());
    }
    try {
      double weight = Double.parseDouble(weighted.group(2));
      return new Adapter(Path.of(weighted.group(1)), OptionalDouble.of(weight));
    } catch (NumberFormatException e) {
      throw usage(
          "--adapter is '"
              + text
              + "', whose weight '"
              + weighted.group(2)
              + "' is no number: expected DIR or DIR=WEIGHT");
    }
  }

  private void print(MergeReport report, PrintWriter out) {
    MergeProof proof = report.proof();
    out.printf(
        Locale.ROOT,
        "%d tensors changed; %d file%s, %.1f MB in %s; base weights: %s%n",
        report.changedTensors(),
        report.shards(),
        report.shards() == 1 ? "" : "s",
        report.bytes() / 1e6,
        report.dtype().torchName(),
        report.baseWeights());
    out.printf(
        "proof, base and adapter against merged, %d positions: %s (bound: %s)%n",
        proof.positions(), figures(proof.difference()), figures(proof.bound()));
    out.printf("the adapter's own effect: %s%n", figures(proof.effect()));
    if (proof.holds() && proof.roundingHidesAdapters()) {
      out.printf(
          "note: rounding to %s changes the model more than the adapter does; --dtype float32 keeps"
              + " it%n",
          report.dtype().torchName());
    }
    if (undo) {
      out.printf(
          "un-merged: a weight is what it was but for half a unit in the last place of the merged"
              + " weight, as it was stored, and half a unit of %s%n",
          report.dtype().torchName());
    }
    out.printf(Locale.ROOT, "peak memory %.0f MB%n", Math.max(0, ProcessMemory.peakBytes()) / 1e6);
  }

  private static String figures(LogitDifference difference) {
    return String.format(
        Locale.ROOT,
        "largest logit difference %.3g, mean KL %.3g",
        difference.max(),
        difference.meanKl());
  }

  private static void note(PrintWriter err, String line) {
    say(err, "note: " + line);
  }

  private static void say(PrintWriter err, String line) {
    err.println(line);
    err.flush();
  }

  private ParameterException usage(String line) {
    return new ParameterException(spec.commandLine(), line);
  }
}
