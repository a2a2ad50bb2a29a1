package ai.nibble.cli;

import ai.nibble.InvalidInputException;
import ai.nibble.data.ChatTemplate;
import ai.nibble.data.Tokenizer;
import ai.nibble.model.CausalLm;
import ai.nibble.model.GenerationConfig;
import ai.nibble.model.ModelConfig;
import ai.nibble.model.ModelStore;
import ai.nibble.model.WeightSource;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.function.Consumer;

/**
 * What a model is, from its configuration, its tokenizer and the headers of its weights.
 *
 * @param model the directory or file
 * @param config its configuration
 * @param forms of its weights, by type, the largest first
 * @param quantization of its linears, in words; empty where they are plain
 * @param targets linears that an adapter can be put on, by the last part of their names: how many
 * @param tokenizer in words
 * @param template in words
 * @param problems why it cannot be trained or generated with; mostly none
 */
record ModelInspection(
    Path model,
    ModelConfig config,
    Map<String, Form> forms,
    Optional<String> quantization,
    Map<String, Integer> targets,
    String tokenizer,
    String template,
    List<String> problems) {
  private static final String LINE = "%-16s%s%n";

  /** Weights of one type: how many tensors and values, and the bytes they take in the files. */
  record Form(int tensors, long values, long bytes) {
    private Form plus(long moreValues, long moreBytes) {
      return new Form(tensors + 1, values + moreValues, bytes + moreBytes);
    }
  }

  /** Whether a path is a model's rather than a recipe's. */
  static boolean isModel(Path path) {
    return Files.isDirectory(path)
        || path.toString().toLowerCase(Locale.ROOT).endsWith(".gguf")
        || path.toString().toLowerCase(Locale.ROOT).endsWith(".safetensors");
  }

  /**
   * Looks at a model.
   *
   * @param notices takes one line for everything that is ignored or chosen in the caller's place
   * @throws InvalidInputException if it cannot be used, with a line for each reason
   */
  static ModelInspection of(Path model, Consumer<String> notices) {
    try (WeightSource source = WeightSource.open(model, notices)) {
      Map<String, Form> forms = new TreeMap<>();
      for (String name : source.names()) {
        long values = 1;
        for (long size : source.shape(name)) {
          values *= size;
        }
        WeightSource.StoredForm stored = source.storedForm(name);
        Form before = forms.getOrDefault(stored.type(), new Form(0, 0, 0));
        forms.put(stored.type(), before.plus(values, stored.bytes()));
      }
      Map<String, Form> ordered = new LinkedHashMap<>();
      forms.entrySet().stream()
          .sorted((a, b) -> Long.compare(b.getValue().bytes(), a.getValue().bytes()))
          .forEach(entry -> ordered.put(entry.getKey(), entry.getValue()));
      Map<String, Integer> targets = new LinkedHashMap<>();
      CausalLm.linearPaths(source.config())
          .forEach(
              path -> targets.merge(path.substring(path.lastIndexOf('.') + 1), 1, Integer::sum));
      Path directory = WeightSource.directory(model);
      List<String> problems = new ArrayList<>();
      generation(directory, source.config(), problems);
      return new ModelInspection(
          model,
          source.config(),
          ordered,
          source.quantization(),
          targets,
          tokenizer(directory, source.config(), problems, notices),
          template(directory, problems),
          problems);
    }
  }

  private static void generation(Path directory, ModelConfig config, List<String> problems) {
    try {
      GenerationConfig.read(directory, config);
    } catch (InvalidInputException e) {
      problems.addAll(e.problems());
    }
  }

  private static String tokenizer(
      Path directory, ModelConfig config, List<String> problems, Consumer<String> notices) {
    try (Tokenizer tokenizer = Tokenizer.load(directory)) {
      StringBuilder text =
          new StringBuilder(String.format(Locale.ROOT, "%,d tokens", tokenizer.vocabSize()));
      tokenizer.notice().ifPresent(notices);
      if (tokenizer.vocabSize() > config.vocabSize()) {
        text.append(", of which the model knows those below ").append(config.vocabSize());
      }
      tokenizer
          .specialTokens()
          .texts()
          .forEach(
              (name, token) ->
                  text.append(", ").append(name).append(' ').append(SampleText.shown(token)));
      return text.toString();
    } catch (InvalidInputException e) {
      problems.addAll(e.problems());
      boolean none = !Files.exists(directory.resolve("tokenizer.json"));
      return none ? "none: no tokenizer.json" : "cannot be used";
    }
  }

  private static String template(Path directory, List<String> problems) {
    try {
      if (!ChatTemplate.isThere(directory)) {
        return "none: conversations need one";
      }
      int length = ChatTemplate.load(directory, Map.of()).source().length();
      boolean own = Files.isRegularFile(directory.resolve(ModelStore.CHAT_TEMPLATE));
      return (own ? ModelStore.CHAT_TEMPLATE : "in the tokenizer's files")
          + ", "
          + length
          + " characters";
    } catch (InvalidInputException e) {
      e.problems().stream().filter(each -> !problems.contains(each)).forEach(problems::add);
      return "cannot be used";
    }
  }

  private long values() {
    return forms.values().stream().mapToLong(Form::values).sum();
  }

  private long bytes() {
    return forms.values().stream().mapToLong(Form::bytes).sum();
  }

  /** For people. */
  String text() {
    StringBuilder out = new StringBuilder();
    line(out, "model", "%s: %s", model, config.architecture());
    line(
        out,
        "shape",
        "%,d layers, hidden %,d, %,d heads of %,d over %,d, intermediate %,d",
        config.numHiddenLayers(),
        config.hiddenSize(),
        config.numAttentionHeads(),
        config.headDim(),
        config.numKeyValueHeads(),
        config.intermediateSize());
    line(
        out,
        "vocabulary",
        "%,d, output head %s; context %,d",
        config.vocabSize(),
        config.tieWordEmbeddings() ? "tied to the embedding" : "of its own",
        config.maxPositionEmbeddings());
    line(out, "weights", "%,d values, %s", values(), megabytes(bytes()));
    forms.forEach(
        (type, form) ->
            line(
                out,
                "",
                "%s: %,d tensors, %,d values, %s",
                type,
                form.tensors(),
                form.values(),
                megabytes(form.bytes())));
    line(out, "quantised", "%s", quantization.orElse("no"));
    line(out, "tokenizer", "%s", tokenizer);
    line(out, "chat template", "%s", template);
    StringBuilder names = new StringBuilder();
    targets.forEach(
        (name, count) ->
            names.append(names.isEmpty() ? "" : ", ").append(name + " (" + count + ")"));
    line(out, "LoRA targets", "%s; by name also embed_tokens, lm_head", names);
    return out.toString().stripTrailing();
  }

  private static void line(StringBuilder out, String label, String format, Object... values) {
    out.append(String.format(Locale.ROOT, LINE, label, String.format(Locale.ROOT, format, values)));
  }

  private static String megabytes(long bytes) {
    return String.format(Locale.ROOT, "%,.1f MB", bytes / 1e6);
  }

  /** For programs: docs/inspect.md describes it. */
  ObjectNode json() {
    ObjectNode root = JsonMapper.builder().build().createObjectNode();
    root.put("model", model.toString());
    root.put("architecture", config.architecture().className());
    root.put("model_type", config.architecture().modelType());
    root.put("layers", config.numHiddenLayers());
    root.put("hidden_size", config.hiddenSize());
    root.put("vocab_size", config.vocabSize());
    root.put("context", config.maxPositionEmbeddings());
    root.put("parameters", values());
    root.put("bytes", bytes());
    ObjectNode weights = root.putObject("weights");
    forms.forEach(
        (type, form) ->
            weights
                .putObject(type)
                .put("tensors", form.tensors())
                .put("parameters", form.values())
                .put("bytes", form.bytes()));
    quantization.ifPresentOrElse(
        text -> root.put("quantization", text), () -> root.putNull("quantization"));
    root.put("tokenizer", tokenizer);
    root.put("chat_template", template);
    problems.forEach(root.putArray("problems")::add);
    ObjectNode names = root.putObject("lora_targets");
    targets.forEach(names::put);
    root.putArray("lora_targets_by_name").add("embed_tokens").add("lm_head");
    return root;
  }
}
