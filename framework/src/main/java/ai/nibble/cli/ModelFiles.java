package ai.nibble.cli;

import ai.nibble.InvalidInputException;
import ai.nibble.data.ChatTemplate;
import ai.nibble.data.PromptEncoder;
import ai.nibble.data.Tokenizer;
import ai.nibble.generate.GenerationSettings;
import ai.nibble.generate.Generator;
import ai.nibble.generate.StopTokens;
import ai.nibble.lora.AdapterConfigFile;
import ai.nibble.lora.AdapterSet;
import ai.nibble.model.CausalLm;
import ai.nibble.model.GenerationConfig;
import ai.nibble.model.LoadOptions;
import ai.nibble.model.ModelConfig;
import ai.nibble.model.ModelStore;
import ai.nibble.model.Placement;
import ai.nibble.model.WeightSource;
import ai.nibble.plan.ForwardPlan;
import ai.nibble.quant.QuantConfig;
import ai.nibble.recipe.TrainedWith;
import ai.nibble.tensor.DType;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Consumer;

/**
 * The files of a {@link ModelRequest}, apart from the weights, so that whatever they do not go with
 * is found before those are read.
 */
final class ModelFiles implements AutoCloseable {
  private final ModelRequest request;
  private final Consumer<String> notes;
  private final Map<String, TrainedWith> trained = new LinkedHashMap<>();
  private final Path base;
  private final Path directory;
  private final ModelConfig config;
  private final GenerationConfig generationConfig;
  private final Tokenizer tokenizer;
  private final Map<String, PromptEncoder> encoders = new LinkedHashMap<>();

  /**
   * @param templated whether prompts are conversations
   * @param notes takes one line for each thing that is chosen in the user's place
   */
  ModelFiles(ModelRequest request, boolean templated, Consumer<String> notes) {
    this.request = request;
    this.notes = notes;
    request.adapters().forEach(this::read);
    this.base = base();
    WeightSource.requireModel(base);
    this.directory = WeightSource.directory(base);
    this.tokenizer = Tokenizer.load(directory);
    try {
      this.config = ModelConfig.read(directory.resolve(ModelStore.CONFIG), notice -> {});
      this.generationConfig = GenerationConfig.read(directory, config);
      generationConfig
          .notFollowed()
          .forEach(
              setting -> notes.accept(GenerationConfig.NAME + ": " + setting + ", not followed"));
      encoders.put(AdapterSet.OFF, encoder(templated, request.firstAdapter()));
      for (String name : request.adapterNames()) {
        encoders.put(name, encoder(templated, name));
      }
      tokenizer.notice().ifPresent(notes);
    } catch (RuntimeException e) {
      tokenizer.close();
      throw e;
    }
  }

  private void read(String name, Path adapter) {
    List<String> ignored = AdapterConfigFile.read(adapter).ignoredKeys();
    if (!ignored.isEmpty()) {
      notes.accept("adapter '" + name + "': not followed are " + ignored);
    }
    TrainedWith.read(adapter).ifPresent(with -> trained.put(name, with));
  }

  Tokenizer tokenizer() {
    return tokenizer;
  }

  /** Encodes prompts as an adapter was trained; without one, as the first adapter was. */
  PromptEncoder encoder(String adapter) {
    return encoders.get(adapter);
  }

  /** How answers are written, as options and the model's files say. */
  Decoding decoding(SamplingRequest sampling) {
    Decoding decoding = sampling.resolve(generationConfig, directory);
    StopTokens.notices(directory, config, tokenizer, encoder(request.firstAdapter()))
        .forEach(notes);
    return decoding;
  }

  /** The settings of answers by an adapter. */
  GenerationSettings settings(Decoding decoding, String adapter) {
    return decoding.settings(
        StopTokens.of(directory, config, tokenizer, encoder(adapter)), tokenizer);
  }

  /** The base that was given, or that the adapters name and that is there. */
  private Path base() {
    return TrainedWith.baseFor(named(), request.adapters().values());
  }

  private Path named() {
    if (request.model().isPresent()) {
      return request.model().get();
    }
    Map<Path, String> named = new LinkedHashMap<>();
    for (String name : request.adapterNames()) {
      named.putIfAbsent(namedBase(name), name);
    }
    if (named.size() > 1) {
      throw new InvalidInputException(
          "the adapters name several base models "
              + named.keySet()
              + ": give the one to use with --model DIR");
    }
    Path only = named.keySet().iterator().next();
    notes.accept("base model " + only);
    return only;
  }

  private Path namedBase(String adapter) {
    return BaseOfAdapter.find(
        request.adapters().get(adapter), Optional.ofNullable(trained.get(adapter)));
  }

  private PromptEncoder encoder(boolean templated, String adapter) {
    if (!templated) {
      return new PromptEncoder(tokenizer, null, config);
    }
    Optional<Path> own =
        Optional.ofNullable(trained.get(adapter)).flatMap(TrainedWith::chatTemplate);
    ChatTemplate template =
        own.isPresent()
            ? ChatTemplate.load(own.get(), directory, Map.of())
            : ChatTemplate.load(directory, Map.of());
    return new PromptEncoder(tokenizer, template, config);
  }

  /** Reads the weights; the caller closes what comes, before this. */
  LoadedModel load() {
    Optional<TrainedWith> first = Optional.ofNullable(trained.get(request.firstAdapter()));
    Optional<QuantConfig> quantization =
        request.quantization().or(() -> first.flatMap(TrainedWith::quantization));
    DType dtype = computeDtype(first);
    try (WeightSource source = WeightSource.open(base, notes)) {
      Optional<QuantConfig> held = source.settle(quantization, notes);
      held.ifPresent(q -> notes.accept("base weights in " + q.description()));
      trained.forEach((name, with) -> sayIfOther(name, with, quantization));
      Placement placement =
          ForwardPlan.place(
              source, held, dtype, Generator.PREFILL_TOKENS, request.devices(), notes);
      LoadOptions options =
          new LoadOptions(held, dtype, false, placement).withNonFinite(request.nonFinite());
      CausalLm model = CausalLm.load(source, base, options, (done, total) -> {});
      return LoadedModel.of(model, request);
    }
  }

  private void sayIfOther(String name, TrainedWith with, Optional<QuantConfig> quantization) {
    if (with.adapter().isPresent() && !with.quantization().equals(quantization)) {
      notes.accept(
          "adapter '"
              + name
              + "' was trained on a base "
              + with.quantization().map(q -> "in " + q.description()).orElse("as stored")
              + ", and is used on one "
              + quantization.map(q -> "in " + q.description()).orElse("as stored"));
    }
  }

  private DType computeDtype(Optional<TrainedWith> first) {
    if (request.computeDtype().isPresent()) {
      return request.computeDtype().get();
    }
    Optional<DType> before = first.flatMap(TrainedWith::computeDtype);
    notes.accept(
        before
            .map(dtype -> "compute dtype " + dtype.torchName() + ", as the adapter was trained")
            .orElseGet(() -> LoadOptions.autoReason(request.device())));
    return before.orElseGet(() -> LoadOptions.autoComputeDtype(request.device()));
  }

  @Override
  public void close() {
    tokenizer.close();
  }
}
