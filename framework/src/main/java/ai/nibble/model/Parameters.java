package ai.nibble.model;

import static ai.nibble.model.DecoderParameters.EMBEDDING;
import static ai.nibble.model.DecoderParameters.HEAD;

import ai.nibble.InvalidInputException;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.BiPredicate;
import java.util.function.Consumer;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** The tensors that a configuration asks for, each found in what a file holds. */
final class Parameters {
  /** A file of the wrong model differs in every tensor; these many lines say enough. */
  private static final int MAX_LINES = 8;

  private static final Pattern LAYER = Pattern.compile("model\\.layers\\.(\\d{1,9})\\..*");

  private final ModelConfig config;
  private final Map<String, StoredTensor> tensors;

  private Parameters(ModelConfig config, Map<String, StoredTensor> tensors) {
    this.config = config;
    this.tensors = Collections.unmodifiableMap(tensors);
  }

  /**
   * Matches a configuration with what is stored.
   *
   * @param place the file or directory, for messages
   * @param stored by Hugging Face name
   * @param same whether two stored tensors of one shape hold the same values
   * @throws InvalidInputException with a line for each tensor that is missing, too much, of another
   *     shape or of a type that cannot be read; at most eight and a count
   */
  static Parameters match(
      String place,
      ModelConfig config,
      Map<String, StoredTensor> stored,
      BiPredicate<StoredTensor, StoredTensor> same,
      Consumer<String> notices) {
    Map<String, StoredTensor> found = new LinkedHashMap<>(stored);
    // Llama 1 conversions store the rotary frequencies, which follow from the configuration.
    found.keySet().removeIf(name -> name.endsWith(".rotary_emb.inv_freq"));
    List<String> problems = new ArrayList<>();
    layers(config, found.keySet(), problems);
    refuse(place, problems);
    ModelConfig effective = head(config, found, same, line -> notices.accept(place + ": " + line));
    Map<String, StoredTensor> tensors = new LinkedHashMap<>();
    DecoderParameters.shapes(effective)
        .forEach(
            (name, shape) -> {
              StoredTensor tensor = found.remove(name);
              check(name, shape, tensor, problems);
              tensors.put(name, tensor);
            });
    for (String name : new TreeSet<>(found.keySet())) {
      problems.add(
          "tensor "
              + quoted(name)
              + " is not part of the model that config.json describes; check 'attention_bias',"
              + " 'mlp_bias' and 'architectures'");
    }
    refuse(place, problems);
    return new Parameters(effective, tensors);
  }

  ModelConfig config() {
    return config;
  }

  Set<String> names() {
    return tensors.keySet();
  }

  /** The tensor of that name; a tied head is the embedding. */
  StoredTensor get(String name) {
    StoredTensor tensor =
        tensors.get(name.equals(HEAD) && config.tieWordEmbeddings() ? EMBEDDING : name);
    if (tensor == null) {
      throw new IllegalArgumentException("the model has no tensor " + quoted(name));
    }
    return tensor;
  }

  long[] shape(String name) {
    return get(name).shape().stream().mapToLong(Long::longValue).toArray();
  }

  /** The tensor of that name, after a check of the range asked for. */
  StoredTensor get(String name, long firstElement, float[] out, int offset, int count) {
    StoredTensor tensor = get(name);
    long elements = tensor.shape().stream().reduce(1L, (a, b) -> a * b);
    Objects.checkFromIndexSize(firstElement, (long) count, elements);
    Objects.checkFromIndexSize(offset, count, out.length);
    return tensor;
  }

  private static void check(
      String name, List<Long> shape, StoredTensor tensor, List<String> problems) {
    if (tensor == null) {
      problems.add(
          "tensor "
              + quoted(name)
              + " is missing, expected "
              + shape
              + " by config.json; fetch all of the model's files again");
    } else if (!tensor.shape().equals(shape)) {
      problems.add(
          "tensor "
              + quoted(tensor.storedName())
              + " has shape "
              + tensor.shape()
              + ", expected "
              + shape
              + " by config.json; use the config.json that belongs to these weights");
    } else if (tensor.dtype().isEmpty()) {
      problems.add(
          "tensor "
              + quoted(tensor.storedName())
              + " is stored as "
              + tensor.typeName()
              + ", which cannot be read as weights; use the model in float32, float16 or bfloat16");
    }
  }

  /** One line for a wrong number of layers instead of nine for each layer. */
  private static void layers(ModelConfig config, Set<String> names, List<String> problems) {
    int layers = 0;
    for (String name : names) {
      Matcher matcher = LAYER.matcher(name);
      if (matcher.matches()) {
        layers = Math.max(layers, Integer.parseInt(matcher.group(1)) + 1);
      }
    }
    if (layers != config.numHiddenLayers()) {
      problems.add(
          "the weights have "
              + layers
              + " layers, expected 'num_hidden_layers' of config.json, which is "
              + config.numHiddenLayers()
              + "; use the config.json that belongs to these weights");
    }
  }

  /** Settles which stored tensor is the output head; removes a copy of the embedding. */
  private static ModelConfig head(
      ModelConfig config,
      Map<String, StoredTensor> found,
      BiPredicate<StoredTensor, StoredTensor> same,
      Consumer<String> notices) {
    StoredTensor embedding = found.get(EMBEDDING);
    StoredTensor head = found.get(HEAD);
    boolean tied = config.tieWordEmbeddings();
    if (embedding != null && head != null && tied) {
      // Only tensors that can be read are compared; the others are refused with the rest.
      boolean readable = embedding.dtype().isPresent() && head.dtype().isPresent();
      if (readable && embedding.shape().equals(head.shape()) && same.test(embedding, head)) {
        found.remove(HEAD);
        return config;
      }
      notices.accept(
          "'tie_word_embeddings' is true, but the output head is stored with other values than the"
              + " embedding: taken as untied");
      return config.withTieWordEmbeddings(false);
    }
    if (embedding != null && head == null && !tied) {
      notices.accept(
          "'tie_word_embeddings' is false, but no output head is stored: the embedding is the head");
      return config.withTieWordEmbeddings(true);
    }
    if (embedding == null && head != null && tied) {
      notices.accept("no embedding is stored, but its tied output head is: taken as both");
      found.put(EMBEDDING, found.remove(HEAD));
    }
    return config;
  }

  private static void refuse(String place, List<String> problems) {
    if (problems.isEmpty()) {
      return;
    }
    List<String> lines = new ArrayList<>();
    for (String problem : problems.subList(0, Math.min(MAX_LINES, problems.size()))) {
      lines.add(place + ": " + problem);
    }
    if (problems.size() > MAX_LINES) {
      lines.add(place + ": and " + (problems.size() - MAX_LINES) + " more tensors that do not fit");
    }
    throw new InvalidInputException(lines);
  }

  /** A name out of a file, fit for one line. */
  private static String quoted(String name) {
    String line = name.replaceAll("\\p{Cntrl}", "?");
    return "'" + (line.length() <= 120 ? line : line.substring(0, 120) + "…") + "'";
  }
}
