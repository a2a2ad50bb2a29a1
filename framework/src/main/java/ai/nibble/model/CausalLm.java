package ai.nibble.model;

import ai.nibble.InvalidInputException;
import ai.nibble.autograd.Checkpoint;
import ai.nibble.autograd.Offload;
import ai.nibble.autograd.Recall;
import ai.nibble.autograd.Tape;
import ai.nibble.autograd.Variable;
import ai.nibble.model.DecoderForm.Scales;
import ai.nibble.nn.Adaptable;
import ai.nibble.nn.DenseWeight;
import ai.nibble.nn.Embedding;
import ai.nibble.nn.Head;
import ai.nibble.nn.HeadProduct;
import ai.nibble.nn.HeadWeight;
import ai.nibble.nn.Linear;
import ai.nibble.nn.LinearCrossEntropy;
import ai.nibble.nn.LinearGroup;
import ai.nibble.nn.LinearLogProbs;
import ai.nibble.nn.LogitCap;
import ai.nibble.nn.OutputHead;
import ai.nibble.nn.ParameterSet;
import ai.nibble.nn.Pass;
import ai.nibble.nn.Precision;
import ai.nibble.nn.RmsNorm;
import ai.nibble.nn.SelectRows;
import ai.nibble.nn.TokenEmbedding;
import ai.nibble.nn.TokenPass;
import ai.nibble.nn.Weight;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Device;
import ai.nibble.tensor.Tensor;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Collections;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.function.DoubleSupplier;
import java.util.function.DoubleUnaryOperator;
import java.util.stream.IntStream;

/**
 * A decoder language model. Its weights are frozen, and its linears may carry adapters, or all of
 * its weights are trained. Computes on one thread at a time. Owns its weights.
 */
public final class CausalLm implements AutoCloseable {
  /** Module path of the embedding. */
  public static final String EMBEDDING = "model.embed_tokens";

  /** Module path of the output head. */
  public static final String HEAD = "lm_head";

  private static final Pass NO_DROPOUT = Pass.evaluating(0, 1);

  /** Module path of the norm before the output head. */
  public static final String NORM = "model.norm";

  private final ModelConfig config;
  private final Placement placement;
  private final Places places;
  private final DenseWeight embedding;
  private final List<DecoderLayer> layers;
  private final RmsNorm finalNorm;
  private final Weight head;
  private final ParameterSet parameters;
  private final LogitCap logitCap;
  private final Offload offload = new Offload();
  private final Map<String, Linear> linears = new LinkedHashMap<>();
  private final Map<String, Adaptable> adaptables = new LinkedHashMap<>();
  private final int padding;
  private final TokenEmbedding tokenEmbedding;

  /** The head as a module; closes nothing. */
  private final Linear outputHead;

  /** What is computed with in place of the embedding and of the head; null for the model's own. */
  private DenseWeight otherEmbedding;

  private DenseWeight otherHead;

  /**
   * @param placement where each of these is
   * @param embedding {@code [vocabulary, hidden]}
   * @param head {@code [vocabulary, hidden]}; the embedding itself where the two are tied
   * @param parameters what the layers' weights are views of, taken over; null where they are frozen
   */
  CausalLm(
      ModelConfig config,
      DType compute,
      Placement placement,
      DenseWeight embedding,
      List<DecoderLayer> layers,
      RmsNorm finalNorm,
      Weight head,
      ParameterSet parameters) {
    this.config = config;
    this.placement = placement;
    this.places = new Places(config, placement, compute);
    this.embedding = embedding;
    this.layers = List.copyOf(layers);
    this.finalNorm = finalNorm;
    this.head = head;
    this.parameters = parameters;
    this.logitCap = new LogitCap(config.form().scales().logitCap().orElse(LogitCap.NONE));
    for (DecoderLayer layer : layers) {
      layer
          .groups()
          .forEach(group -> group.members().forEach(linear -> linears.put(linear.path(), linear)));
    }
    this.padding = config.padTokenId().orElse(-1);
    this.tokenEmbedding = new TokenEmbedding(EMBEDDING, embedding, padding);
    this.outputHead = new Linear(HEAD, head, null);
    adaptables.put(EMBEDDING, tokenEmbedding);
    adaptables.putAll(linears);
    adaptables.put(HEAD, outputHead);
  }

  /**
   * Loads a base model, one tensor at a time.
   *
   * @param base a directory with config.json and safetensors, or a GGUF file
   * @throws InvalidInputException if something is missing, damaged or not supported
   */
  public static CausalLm load(Path base, LoadOptions options) {
    try (WeightSource source = WeightSource.open(base)) {
      return load(source, base, options, (done, total) -> {});
    }
  }

  /**
   * Loads a base model from an opened source.
   *
   * @param base for messages
   */
  public static CausalLm load(
      WeightSource source, Path base, LoadOptions options, LoadProgress progress) {
    return DecoderAssembly.load(new WeightLoader(source, base, options), progress);
  }

  /**
   * Checks by a base's headers what {@link #load} would refuse.
   *
   * @param base for messages
   * @throws InvalidInputException as it would
   */
  public static void requireLoadable(WeightSource source, Path base, LoadOptions options) {
    WeightLoader.requireHoldable(source, base, options);
    options.precision();
  }

  /** Hears how far loading has come. */
  @FunctionalInterface
  public interface LoadProgress {
    void layerDone(int done, int total);
  }

  /** Module paths of the linears in such a model's layers. */
  public static List<String> linearPaths(ModelConfig config) {
    return DecoderAssembly.linearPaths(config);
  }

  /**
   * The last name in the paths of routers, which are held as stored whatever is quantised; empty
   * for a model without experts.
   */
  public static Optional<String> routerName(ModelConfig config) {
    return config.form().experts().map(experts -> experts.names().routerName());
  }

  /** Module paths of all that may carry an adapter: embedding, linears and output head. */
  public static List<String> adaptablePaths(ModelConfig config) {
    List<String> paths = new ArrayList<>(List.of(EMBEDDING));
    paths.addAll(linearPaths(config));
    paths.add(HEAD);
    return paths;
  }

  /** By module path, the most that the rank of each of these modules' weights can be. */
  public static Map<String, Long> adaptableRanks(ModelConfig config) {
    Map<String, List<Long>> shapes = DecoderParameters.shapes(config);
    Map<String, Long> ranks = new HashMap<>();
    for (String path : adaptablePaths(config)) {
      boolean tied = path.equals(HEAD) && config.tieWordEmbeddings();
      ranks.put(path, Collections.min(shapes.get((tied ? EMBEDDING : path) + ".weight")));
    }
    return ranks;
  }

  public ModelConfig config() {
    return config;
  }

  /** Where the model is held and computed; of several devices the embedding's. */
  public Device device() {
    return places.embedding().device();
  }

  /** Where each module is. */
  public Placement placement() {
    return placement;
  }

  /** All devices, in the order in which a pass comes to them first. */
  public List<Device> devices() {
    return places.devices();
  }

  /** The dtypes of the computation; of several devices those of the embedding's. */
  public Precision precision() {
    return places.embedding().precision();
  }

  /** The dtypes of a group's computation. */
  Precision precision(LinearGroup group) {
    return Precision.of(precision().compute(), group.device());
  }

  /** All weights under their Hugging Face names; empty where they are frozen. */
  public Optional<ParameterSet> parameters() {
    return Optional.ofNullable(parameters);
  }

  /** The layers' linears, by module path, in the model's order. */
  public Map<String, Linear> linears() {
    return Collections.unmodifiableMap(linears);
  }

  /**
   * All modules that may carry an adapter, by module path: {@link #EMBEDDING}, the linears, {@link
   * #HEAD}. Where embedding and head are one weight, an adapter on one leaves the other as it is.
   */
  public Map<String, Adaptable> adaptables() {
    return Collections.unmodifiableMap(adaptables);
  }

  /**
   * The weight {@code [vocabulary, hidden]} of {@link #EMBEDDING} or {@link #HEAD} that is computed
   * with now; it stays the model's.
   *
   * @throws InvalidInputException if it is quantised
   */
  public DenseWeight table(String module) {
    Weight weight = isEmbedding(module) ? embedding() : head();
    if (weight instanceof DenseWeight dense) {
      return dense;
    }
    throw new InvalidInputException(
        module
            + " is held in "
            + weight.format()
            + " in this base, expected float32, bfloat16 or float16 for training it whole: leave it"
            + " out of modules_to_save, or take the base that was not quantised");
  }

  /**
   * Computes with another weight in place of {@link #EMBEDDING}'s or {@link #HEAD}'s own. Where the
   * model ties the two, the other stays what it is.
   *
   * @param weight {@code [vocabulary, hidden]}, which stays the caller's; null: the model's own
   *     again
   */
  public void replace(String module, DenseWeight weight) {
    if (weight != null && weight.inFeatures() != config.hiddenSize()) {
      throw new IllegalArgumentException(module + ": " + weight.tensor());
    }
    if (isEmbedding(module)) {
      otherEmbedding = weight;
    } else {
      otherHead = weight;
    }
  }

  private static boolean isEmbedding(String module) {
    if (!module.equals(EMBEDDING) && !module.equals(HEAD)) {
      throw new IllegalArgumentException(module + ", expected " + EMBEDDING + " or " + HEAD);
    }
    return module.equals(EMBEDDING);
  }

  private DenseWeight embedding() {
    return otherEmbedding == null ? embedding : otherEmbedding;
  }

  private Weight head() {
    return otherHead == null ? head : otherHead;
  }

  /** The embedding that is computed with now; what is put in its place carries no adapter. */
  private TokenEmbedding tokens() {
    return otherEmbedding == null
        ? tokenEmbedding
        : new TokenEmbedding(EMBEDDING, otherEmbedding, padding);
  }

  /** The head that is computed with now, likewise. */
  private Head head(Pass pass) {
    return new Head(head(), otherHead == null ? outputHead.adapter() : Optional.empty(), pass);
  }

  /**
   * The hidden state after the last layer, before the final norm: {@code [N, hidden]}.
   *
   * @param inputIds token ids of all sequences, back to back
   * @param checkpointing what is computed again in backward instead of kept
   */
  public Variable hidden(Tape tape, int[] inputIds, Pass pass, Checkpointing checkpointing) {
    requireInVocabulary(inputIds);
    Precision precision = precision();
    Variable x = tape.apply(new Embedding(tokens(), inputIds, pass, precision, embeddingScale()));
    for (DecoderLayer layer : layers) {
      Place place = places.layer(layer.index());
      x = place.take(tape, x);
      Variable next =
          checkpointing != Checkpointing.NONE && tape.isRecording()
              ? tape.apply(
                  new Checkpoint(
                      (inner, inputs, recall) ->
                          layer.forward(place.run(inner, pass, checkpointing, recall), inputs[0]),
                      offload(checkpointing, place.device())),
                  x)
              : layer.forward(place.run(tape, pass, checkpointing, Recall.once()), x);
      x.close();
      x = next;
    }
    return x;
  }

  private Optional<Offload> offload(Checkpointing checkpointing, Device where) {
    return checkpointing == Checkpointing.OFFLOAD && Offload.serves(where)
        ? Optional.of(offload)
        : Optional.empty();
  }

  private double embeddingScale() {
    return config.form().scales().embedding() ? Math.sqrt(config.hiddenSize()) : 1;
  }

  /** The rows of a hidden state that the output head reads: normalised, and where that is. */
  private Variable headInput(Tape tape, Variable hidden, int[] positions) {
    Variable selected = tape.apply(new SelectRows(positions), hidden);
    try (Variable there = places.norm().take(tape, selected)) {
      return places.head().take(tape, finalNorm.apply(tape, there));
    }
  }

  /**
   * @throws IllegalArgumentException if a token is not of the vocabulary
   */
  void requireInVocabulary(int[] inputIds) {
    for (int id : inputIds) {
      if (id < 0 || id >= embedding().outFeatures()) {
        throw new IllegalArgumentException(
            "token id " + id + " is outside the vocabulary of " + embedding().outFeatures());
      }
    }
  }

  /**
   * Cross-entropy of the given positions' next tokens, float32 {@code [1]}.
   *
   * @param hidden from {@link #hidden}
   * @param pass that it came from, which the head's dropout goes by
   * @param positions rows of hidden that predict a token which carries loss, ascending
   * @param targets those tokens
   * @param normalizer what the summed loss is divided by
   */
  public Loss loss(
      Tape tape, Variable hidden, Pass pass, int[] positions, int[] targets, double normalizer) {
    LinearCrossEntropy entropy = entropy(pass, targets, normalizer);
    try (Variable normed = headInput(tape, hidden, positions)) {
      Variable value = tape.apply(entropy, normed);
      return new Loss(
          value,
          () -> entropy.lossSum(value.value()),
          Map.of(),
          entropy.lossSumLater(value.value()));
    }
  }

  private LinearCrossEntropy entropy(Pass pass, int[] targets, double normalizer) {
    Place place = places.head();
    return new LinearCrossEntropy(
        head(pass), targets, normalizer, place.precision(), place.work(), logitCap);
  }

  /**
   * Log-probabilities of the given positions' next tokens in nats, on a tape, float32 {@code
   * [positions]}: for losses on whole answers. The logits behind them exist for a few hundred
   * positions at a time.
   *
   * @param hidden from {@link #hidden}
   * @param pass that it came from, which the head's dropout goes by
   * @param positions rows of hidden, ascending
   * @param targets the tokens
   */
  public Variable logProbs(Tape tape, Variable hidden, Pass pass, int[] positions, int[] targets) {
    Place place = places.head();
    try (Variable normed = headInput(tape, hidden, positions)) {
      return tape.apply(
          new LinearLogProbs(head(pass), targets, place.precision(), place.work(), logitCap),
          normed);
    }
  }

  /**
   * Log-likelihoods of tokens in nats, one for each position: all that leaves the model. The logits
   * behind them exist for a few hundred positions at a time.
   *
   * @param inputIds token ids of all sequences, back to back
   * @param positions where each token is predicted, in any order; one may predict several tokens
   * @param targets the tokens
   */
  public double[] logLikelihoods(int[] inputIds, Pass pass, int[] positions, int[] targets) {
    try (Tape tape = Tape.inference();
        Variable hidden = hidden(tape, inputIds, pass, Checkpointing.NONE);
        Variable logProbs = logProbs(tape, hidden, pass, positions, targets)) {
      float[] values = logProbs.value().toFloats();
      return IntStream.range(0, values.length).mapToDouble(i -> values[i]).toArray();
    }
  }

  /**
   * Logits of the given positions on a tape, float32 {@code [positions, vocabulary]}, for losses
   * that {@link #loss} is not: {@link ai.nibble.autograd.EngineSegment} takes them as an NDArray.
   * They exist all at once, as their gradient does.
   *
   * @param hidden from {@link #hidden}
   * @param pass that it came from, which the head's dropout goes by
   * @param positions rows of hidden, ascending
   */
  public Variable logits(Tape tape, Variable hidden, Pass pass, int[] positions) {
    Place place = places.head();
    try (Variable normed = headInput(tape, hidden, positions)) {
      return tape.apply(
          new OutputHead(head(pass), place.precision(), place.work(), logitCap), normed);
    }
  }

  /**
   * A loss on a tape.
   *
   * @param value float32 {@code [1]}, to differentiate
   * @param total gives the sum
   * @param measures what else was seen on the way, by name; empty for cross-entropy
   * @param later the sum from the value, where a device has still to compute that; empty where the
   *     sum is asked for at once
   */
  public record Loss(
      Variable value,
      DoubleSupplier total,
      Map<String, Mean> measures,
      Optional<DoubleUnaryOperator> later) {
    /** A loss whose sum is asked for at once. */
    public Loss(Variable value, DoubleSupplier total, Map<String, Mean> measures) {
      this(value, total, measures, Optional.empty());
    }

    /** A loss with nothing beside it. */
    public Loss(Variable value, DoubleSupplier total) {
      this(value, total, Map.of());
    }

    /** A loss whose sum is known: see {@link #sum}. */
    public Loss(Variable value, double sum) {
      this(value, () -> sum);
    }

    /**
     * The sum over the loss tokens, not yet divided by a normaliser; of cross-entropy in nats. To
     * be asked for while the tape is open; a device is waited for.
     */
    public double sum() {
      return total.getAsDouble();
    }
  }

  /**
   * Logits of some positions, float32 {@code [positions, vocabulary]}; the caller closes them.
   *
   * @param inputIds token ids of all sequences, back to back
   * @param positions ascending
   */
  public Tensor logits(int[] inputIds, Pass pass, int[] positions) {
    try (Tensor weight = headWeight().open()) {
      return logits(inputIds, pass, positions, weight);
    }
  }

  /** As {@link #logits(int[], Pass, int[])}, with the {@link #headWeight} opened. */
  Tensor logits(int[] inputIds, Pass pass, int[] positions, Tensor weight) {
    Place place = places.head();
    try (Tape tape = Tape.inference();
        Variable hidden = hidden(tape, inputIds, pass, Checkpointing.NONE);
        Variable normed = headInput(tape, hidden, positions);
        Tensor input = normed.value().to(place.precision().product());
        Tensor result =
            HeadProduct.logits(head(pass), place.precision(), place.work(), weight, input)) {
      Tensor logits = result.to(DType.FLOAT32);
      logitCap.apply(logits);
      return logits;
    }
  }

  /**
   * A pass over one token at a time, with linears as they are read packed, where that is possible.
   *
   * @param weight the {@link #headWeight} opened, which stays open as long as this is used
   */
  Optional<TokenPass> tokenPass(Tensor weight) {
    Precision precision = precision();
    List<TokenPass.Block> blocks =
        layers.stream().map(DecoderLayer::block).flatMap(Optional::stream).toList();
    if (devices().size() > 1
        || blocks.size() < layers.size()
        || !config.form().scales().equals(Scales.NONE)) {
      return Optional.empty();
    }
    return TokenPass.takes(blocks, weight, precision)
        ? Optional.of(
            new TokenPass(
                blocks, tokens(), finalNorm, weight, head(NO_DROPOUT).adapter(), precision))
        : Optional.empty();
  }

  /** The output head, ready for products. */
  HeadWeight headWeight() {
    return new HeadWeight(head(), places.head().precision());
  }

  /** The groups of linears, in the order in which they are computed. */
  List<LinearGroup> groups() {
    return layers.stream().flatMap(layer -> layer.groups().stream()).toList();
  }

  /**
   * Keeps the weights of some decoder layers as products take them, in place of dequantising them
   * in each forward and backward, and drops those of all others: the time that this takes for the
   * memory of unquantised weights. Not a bit of what is computed changes. To be called when
   * adapters are attached, and again after others of other ranks were; not while a {@link Decoder}
   * is open.
   *
   * @param indices of layers, from 0
   * @throws IllegalStateException where all weights are trained, as they change with each step
   */
  public void keepDequantized(Collection<Integer> indices) {
    indices.forEach(index -> Objects.checkIndex(index, layers.size()));
    if (parameters != null && !indices.isEmpty()) {
      throw new IllegalStateException("weights that are trained are not kept dequantised");
    }
    layers.stream()
        .filter(layer -> !indices.contains(layer.index()))
        .forEach(layer -> layer.groups().forEach(LinearGroup::dropWeights));
    try {
      layers.stream()
          .filter(layer -> indices.contains(layer.index()))
          .flatMap(layer -> layer.groups().stream())
          .forEach(group -> group.keepWeights(precision(group)));
    } catch (RuntimeException e) {
      groups().forEach(LinearGroup::dropWeights);
      throw e;
    }
  }

  /**
   * Bytes that {@link #keepDequantized} takes for a layer, with the adapters that it carries now.
   */
  public long dequantizedBytes(int layer) {
    return layers.get(layer).groups().stream()
        .mapToLong(group -> group.keptBytes(precision(group)))
        .sum();
  }

  /**
   * Whether a token's values are the same whatever is computed beside it, but for rounding. With
   * LLM.int8() they are not: which columns are left in 16 bits is decided for all rows of a product
   * together.
   */
  public boolean rowsAreIndependent() {
    return groups().stream().noneMatch(LinearGroup::mixesRows);
  }

  /** Bytes of the weights as they are held. */
  public long weightBytes() {
    long linearBytes = linears.values().stream().mapToLong(l -> l.weight().bytes()).sum();
    return linearBytes + embedding.bytes() + (head == embedding ? 0 : head.bytes());
  }

  /** Bytes of the buffers that the layers reuse in turn. */
  long workspaceBytes() {
    return places.workspaceBytes();
  }

  @Override
  public void close() {
    layers.forEach(DecoderLayer::close);
    finalNorm.close();
    embedding.close();
    if (head != embedding) {
      head.close();
    }
    if (parameters != null) {
      parameters.close();
    }
    places.close();
    offload.close();
  }
}
