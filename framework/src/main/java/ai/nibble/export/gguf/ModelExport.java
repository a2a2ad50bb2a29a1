package ai.nibble.export.gguf;

import ai.nibble.FileProblem;
import ai.nibble.InvalidInputException;
import ai.nibble.StagedFile;
import ai.nibble.WholeFile;
import ai.nibble.data.ChatTemplate;
import ai.nibble.data.PromptEncoder;
import ai.nibble.data.Tokenizer;
import ai.nibble.export.merge.MergedWeights;
import ai.nibble.generate.StopTokens;
import ai.nibble.gguf.GgmlType;
import ai.nibble.gguf.GgufFile;
import ai.nibble.gguf.GgufHeader;
import ai.nibble.gguf.GgufTensor;
import ai.nibble.gguf.GgufTensorSpec;
import ai.nibble.gguf.GgufWriter;
import ai.nibble.lora.StoredAdapter;
import ai.nibble.model.GgufHyperparameters;
import ai.nibble.model.GgufLayout;
import ai.nibble.model.GgufWeights;
import ai.nibble.model.ModelConfig;
import ai.nibble.model.WeightSource;
import ai.nibble.tensor.Scope;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.Consumer;

/**
 * Writes a model, an adapter merged into it on the way, as one GGUF file with vocabulary and chat
 * template, and an Ollama Modelfile beside it. Memory holds one piece of one tensor at a time.
 *
 * <p>The adapter is added to the base's own weights, in float32. An adapter trained over a 4-bit
 * base has learned to mend that base's rounding too, which is not in the file.
 */
public final class ModelExport {
  private final Request request;
  private final Consumer<String> notices;

  /**
   * What is asked for.
   *
   * @param base a model directory or GGUF file
   * @param adapter a PEFT directory, to be merged
   * @param out the file to make, in a directory that exists
   * @param chatTemplate a template other than the base's own
   * @param pre llama.cpp's name of the pre-tokenizer, where it cannot be recognised
   */
  public record Request(
      Path base,
      Optional<Path> adapter,
      FileType type,
      Path out,
      Optional<Path> chatTemplate,
      Optional<String> pre) {}

  /**
   * What was written.
   *
   * @param modelfile beside the file
   * @param tensors how many of each type
   * @param relativeError of the weights of block types as they read back: root of the mean square
   *     of the error by that of the weights, over a sample of rows; 0 where there are none
   */
  public record Report(
      Path file, Path modelfile, Map<GgmlType, Integer> tensors, double relativeError) {}

  private ModelExport(Request request, Consumer<String> notices) {
    this.request = request;
    this.notices = notices;
  }

  /**
   * Writes the file and the Modelfile.
   *
   * @param notices takes one line for everything that is chosen in the caller's place or lost
   * @throws InvalidInputException if a file exists already, or something is not expressible in
   *     GGUF, does not fit, or is damaged; nothing is left then
   */
  public static Report write(Request request, Consumer<String> notices) {
    return new ModelExport(request, notices).run();
  }

  /** The Modelfile's place: {@code NAME.Modelfile} for {@code NAME.gguf}. */
  public static Path modelfile(Path out) {
    String name = out.getFileName().toString();
    String stem = name.endsWith(".gguf") ? name.substring(0, name.length() - 5) : name;
    return out.resolveSibling(stem + ".Modelfile");
  }

  private Report run() {
    Path modelfile = modelfile(request.out());
    WholeFile.requireNew(request.out(), "--out");
    WholeFile.requireNew(modelfile, "--out");
    StagedFile.requirePlace(request.out());
    request.pre().flatMap(PreTokenizer::doubt).ifPresent(notices);
    Path directory = WeightSource.directory(request.base());
    try (Scope scope = new Scope()) {
      WeightSource base = scope.own(WeightSource.open(request.base(), notices));
      requireExpressible(base.config());
      WeightSource weights = merged(base, scope);
      ModelConfig config = weights.config();
      Tokenizer tokenizer = scope.own(Tokenizer.load(directory));
      Vocabulary vocabulary = new Vocabulary(directory, tokenizer, config, pre(base));
      Optional<ChatTemplate> template = template(directory);
      TensorPlan plan = TensorPlan.of(weights, request.type(), notices);
      GgufHeader header = header(weights, vocabulary, template);
      Modelfile text = modelfile(directory, config, tokenizer, vocabulary, template);
      write(header, plan, weights, base);
      writeText(modelfile, text);
      double error = SampledError.of(request.out(), plan.names(), new GgufRows(weights));
      return new Report(request.out(), modelfile, plan.count(), error);
    }
  }

  private void requireExpressible(ModelConfig config) {
    GgufHyperparameters.inexpressible(config)
        .ifPresent(
            what -> {
              throw new InvalidInputException(
                  request.base() + ": cannot be written as GGUF: " + what);
            });
    GgufHyperparameters.leftOut(config).ifPresent(notices);
  }

  /** The base with the adapter in it, or the base itself. */
  private WeightSource merged(WeightSource base, Scope scope) {
    if (request.adapter().isEmpty()) {
      return base;
    }
    StoredAdapter adapter = scope.own(StoredAdapter.open(request.adapter().get(), base));
    List<String> ignored = adapter.config().ignoredKeys();
    if (!ignored.isEmpty()) {
      notices.accept("keys of adapter_config.json that are ignored: " + ignored);
    }
    return scope.own(MergedWeights.of(base, adapter));
  }

  /** What a base that is a GGUF file says counts: its converter knew the original tokenizer. */
  private Optional<String> pre(WeightSource base) {
    String key = "tokenizer.ggml.pre";
    if (request.pre().isEmpty()
        && base instanceof GgufWeights gguf
        && gguf.file().metadata().contains(key)) {
      return Optional.of(gguf.file().metadata().getString(key));
    }
    return request.pre();
  }

  private Optional<ChatTemplate> template(Path directory) {
    if (request.chatTemplate().isPresent()) {
      return Optional.of(ChatTemplate.load(request.chatTemplate().get(), directory, Map.of()));
    }
    try {
      return Optional.of(ChatTemplate.load(directory, Map.of()));
    } catch (InvalidInputException e) {
      notices.accept("no chat template is written: " + e.getMessage());
      return Optional.empty();
    }
  }

  private GgufHeader header(
      WeightSource weights, Vocabulary vocabulary, Optional<ChatTemplate> template) {
    ModelConfig config = weights.config();
    GgufHeader header = new GgufHeader();
    header.put("general.architecture", GgufHyperparameters.architecture(config));
    header.put("general.type", "model");
    header.put("general.name", name());
    header.put("general.size_label", SizeLabel.of(weights));
    header.put("general.file_type", request.type().number());
    header.put("general.quantization_version", 2);
    GgufHyperparameters.integers(config).forEach(header::put);
    GgufHyperparameters.flags(config).forEach(header::putFlags);
    header.put(GgufHyperparameters.contextLength(config), config.maxPositionEmbeddings());
    GgufHyperparameters.numbers(config)
        .forEach((key, value) -> header.put(key, value.floatValue()));
    header.put(GgufHyperparameters.ropeFreqBase(config), (float) config.ropeTheta());
    String scaling = GgufHyperparameters.ropeScalingType(config);
    if (!scaling.equals("none")) {
      header.put(GgufHyperparameters.ropeScalingTypeKey(config), scaling);
      GgufHyperparameters.ropeScalingNumbers(config)
          .forEach((key, value) -> header.put(key, value.floatValue()));
      GgufHyperparameters.ropeScalingIntegers(config).forEach(header::put);
    }
    vocabulary.describe(header);
    template.ifPresent(t -> header.put("tokenizer.chat_template", t.source()));
    return header;
  }

  /** The file's name without its ending. */
  private String name() {
    return request.out().getFileName().toString().replaceFirst("\\.gguf$", "");
  }

  private Modelfile modelfile(
      Path directory,
      ModelConfig config,
      Tokenizer tokenizer,
      Vocabulary vocabulary,
      Optional<ChatTemplate> template) {
    String bos = tokenizer.specialTokens().texts().getOrDefault("bos_token", "");
    Optional<TurnTemplate> turns = template.flatMap(t -> TurnTemplate.of(t, bos));
    Set<Integer> stops =
        StopTokens.of(
            directory, config, tokenizer, new PromptEncoder(tokenizer, template.orElse(null)));
    List<String> texts = stops.stream().filter(tokenizer::isControl).map(vocabulary::text).toList();
    Modelfile modelfile =
        new Modelfile(request.out().getFileName().toString(), turns, vocabulary.addsBos(), texts);
    if (template.isPresent() && !modelfile.hasTemplate()) {
      notices.accept(
          "the Modelfile has no TEMPLATE, because the chat template does more than put text around"
              + " turns: Ollama goes by the template in the GGUF file, if it is one that it knows");
    }
    return modelfile;
  }

  private void write(GgufHeader header, TensorPlan plan, WeightSource weights, WeightSource base) {
    GgufRows rows = new GgufRows(weights);
    Map<String, float[]> ropeTensors = GgufHyperparameters.ropeTensors(base.config());
    try (GgufWriter writer = GgufWriter.create(request.out(), header, plan.specs())) {
      for (GgufTensorSpec spec : plan.specs()) {
        float[] divisors = ropeTensors.get(spec.name());
        if (divisors != null) {
          writer.write(
              spec.name(), (row, into) -> System.arraycopy(divisors, 0, into, 0, into.length));
          continue;
        }
        String name = plan.names().get(spec.name());
        List<String> experts = GgufLayout.expertNames(weights.config(), spec.name());
        boolean changed =
            weights instanceof MergedWeights merged
                && (experts.isEmpty()
                    ? merged.changes(name)
                    : experts.stream().anyMatch(merged::changes));
        Optional<GgufFile> same = changed ? Optional.empty() : sameBlocks(base, spec);
        if (same.isPresent()) {
          writer.copy(spec.name(), same.get());
        } else {
          writer.write(spec.name(), rows.of(name));
        }
      }
      writer.commit();
    }
  }

  /** The base's file, if it holds the tensor in the very form that is to be written. */
  private static Optional<GgufFile> sameBlocks(WeightSource base, GgufTensorSpec spec) {
    if (!(base instanceof GgufWeights gguf)) {
      return Optional.empty();
    }
    GgufTensor tensor = gguf.file().tensors().get(spec.name());
    boolean same =
        tensor != null && tensor.type() == spec.type() && tensor.shape().equals(spec.shape());
    return same ? Optional.of(gguf.file()) : Optional.empty();
  }

  private static void writeText(Path file, Modelfile text) {
    try {
      WholeFile.write(file, text.toString());
    } catch (IOException e) {
      throw new UncheckedIOException(file + ": cannot be written: " + FileProblem.reason(e), e);
    }
  }
}
