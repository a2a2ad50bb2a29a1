package ai.nibble.cli;

import ai.nibble.InvalidInputException;
import ai.nibble.data.ChatTemplate;
import ai.nibble.data.PromptEncoder;
import ai.nibble.data.Tokenizer;
import ai.nibble.generate.Completion;
import ai.nibble.generate.FinishReason;
import ai.nibble.generate.GenerationSettings;
import ai.nibble.generate.Generator;
import ai.nibble.generate.StopTokens;
import ai.nibble.generate.TextStream;
import ai.nibble.generate.TokenStream;
import ai.nibble.lora.AdapterConfigFile;
import ai.nibble.lora.AdapterStore;
import ai.nibble.model.CausalLm;
import ai.nibble.model.LoadOptions;
import ai.nibble.model.ModelConfig;
import ai.nibble.model.ModelStore;
import ai.nibble.model.WeightSource;
import ai.nibble.quant.Quant4Config;
import ai.nibble.recipe.TrainedWith;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Scope;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;

/** Loads what a {@link GenerateRequest} names, and answers its prompts. */
final class Generation {
  private static final JsonMapper JSON = JsonMapper.builder().build();

  private final GenerateRequest request;
  private final PrintWriter out;
  private final PrintWriter err;
  private final Optional<TrainedWith> trained;

  private Generation(GenerateRequest request, PrintWriter out, PrintWriter err) {
    this.request = request;
    this.out = out;
    this.err = err;
    this.trained = request.adapter().flatMap(TrainedWith::read);
  }

  static void run(GenerateRequest request, PrintWriter out, PrintWriter err) {
    new Generation(request, out, err).run();
  }

  private void run() {
    Path base = base();
    Path directory = WeightSource.directory(base);
    try (Tokenizer tokenizer = Tokenizer.load(directory)) {
      ModelConfig config = ModelConfig.read(directory.resolve(ModelStore.CONFIG), notice -> {});
      PromptEncoder encoder = new PromptEncoder(tokenizer, template(directory), config);
      // prompts first: a bad one is found before the weights are read
      List<Prompt> prompts = Prompt.read(request, encoder);
      try (Scope scope = new Scope()) {
        CausalLm model = scope.own(load(base));
        request.adapter().ifPresent(path -> scope.own(AdapterStore.load(model, path)));
        Generator generator = scope.own(new Generator(model));
        note(generator.description());
        GenerationSettings settings =
            GenerationSettings.greedy(
                request.maxNewTokens(),
                StopTokens.of(directory, model.config(), tokenizer, encoder));
        if (request.prompt().isPresent()) {
          stream(generator, tokenizer, prompts.get(0), settings);
        } else {
          answerAll(generator, tokenizer, prompts, settings);
        }
      }
    }
  }

  /** The base that was given, or that the adapter names and that is there. */
  private Path base() {
    if (request.model().isPresent()) {
      return request.model().get();
    }
    Path adapter = request.adapter().orElseThrow();
    Optional<Path> named =
        trained
            .flatMap(TrainedWith::baseModel)
            .or(() -> AdapterConfigFile.read(adapter).baseModel().map(Path::of));
    if (named.filter(Files::exists).isEmpty()) {
      throw new InvalidInputException(
          adapter
              + ": "
              + named
                  .map(path -> "its base model '" + path + "' is not there")
                  .orElse("it names no base model")
              + ": give it with --model DIR");
    }
    note("base model " + named.get());
    return named.get();
  }

  private ChatTemplate template(Path directory) {
    if (request.raw()) {
      return null;
    }
    Optional<Path> file = trained.flatMap(TrainedWith::chatTemplate);
    return file.isPresent()
        ? ChatTemplate.load(file.get(), directory, Map.of())
        : ChatTemplate.load(directory, Map.of());
  }

  private CausalLm load(Path base) {
    Optional<Quant4Config> quantization =
        request.loadIn4bit()
            ? LoadOptions.nf4().quantization()
            : trained.flatMap(TrainedWith::quantization);
    quantization.ifPresent(q -> note("base weights in " + described(q)));
    LoadOptions options = new LoadOptions(quantization, computeDtype());
    try (WeightSource source = WeightSource.open(base, this::note)) {
      return CausalLm.load(source, base, options, (done, total) -> {});
    }
  }

  private DType computeDtype() {
    if (request.computeDtype().isPresent()) {
      return request.computeDtype().get();
    }
    Optional<DType> before = trained.flatMap(TrainedWith::computeDtype);
    note(
        before
            .map(dtype -> "compute dtype " + dtype.torchName() + ", as the adapter was trained")
            .orElseGet(LoadOptions::autoReason));
    return before.orElseGet(LoadOptions::autoComputeDtype);
  }

  private static String described(Quant4Config config) {
    return config.type().name().toLowerCase(Locale.ROOT)
        + ", blocks of "
        + config.blockSize()
        + (config.doubleQuant() ? ", double quantisation" : "");
  }

  private void stream(
      Generator generator, Tokenizer tokenizer, Prompt prompt, GenerationSettings settings) {
    long start = System.nanoTime();
    TextStream text = new TextStream(tokenizer);
    try (TokenStream tokens = generator.stream(prompt.ids(), settings)) {
      while (tokens.hasNext()) {
        print(text.accept(tokens.nextInt()));
        if (out.checkError()) {
          tokens.cancel(); // whoever read the answer is gone
        }
      }
      print(text.end());
      out.println();
      out.flush();
      Completion completion = tokens.completion();
      statistics(completion.tokens().length, start, ", " + reason(completion.finishReason()));
    }
  }

  private void print(String piece) {
    out.print(piece);
    out.flush();
  }

  private static String reason(FinishReason reason) {
    return switch (reason) {
      case STOP -> "ended by the model";
      case LENGTH -> "cut at --max-new-tokens";
      case CONTEXT -> "cut at the model's max_position_embeddings";
      case CANCELLED -> "cancelled";
    };
  }

  private void answerAll(
      Generator generator, Tokenizer tokenizer, List<Prompt> prompts, GenerationSettings settings) {
    long start = System.nanoTime();
    List<Completion> completions =
        generator.complete(prompts.stream().map(Prompt::ids).toList(), settings);
    long tokens = 0;
    for (int i = 0; i < prompts.size(); i++) {
      int[] ids = completions.get(i).tokens();
      tokens += ids.length;
      ObjectNode json = JSON.createObjectNode();
      json.put("prompt", prompts.get(i).request());
      json.put("answer", TextStream.text(tokenizer, ids));
      json.put("tokens", ids.length);
      json.put("finish_reason", completions.get(i).finishReason().name().toLowerCase(Locale.ROOT));
      out.println(line(json));
    }
    out.flush();
    statistics(tokens, start, ", " + prompts.size() + " prompts");
  }

  private static String line(ObjectNode json) {
    try {
      return JSON.writeValueAsString(json);
    } catch (JsonProcessingException e) {
      throw new IllegalStateException(e);
    }
  }

  private void statistics(long tokens, long start, String more) {
    double seconds = (System.nanoTime() - start) / 1e9;
    err.printf(
        Locale.ROOT,
        "%d tokens in %.1f s, %.1f tokens/s%s%n",
        tokens,
        seconds,
        tokens / seconds,
        more);
    err.flush();
  }

  private void note(String line) {
    err.println("note: " + line);
    err.flush();
  }
}
