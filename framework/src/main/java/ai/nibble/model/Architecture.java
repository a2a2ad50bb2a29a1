package ai.nibble.model;

import ai.nibble.nn.Activation;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.function.Consumer;

/**
 * A family of decoders: how its {@code config.json} is told, what that says of the layers, and how
 * llama.cpp has it. One file each. All of them are computed by the same {@link DecoderLayer}, so
 * what a family needs beyond its fields is a value of {@link DecoderForm}.
 *
 * <p>Fields, defaults and their meanings are those of the family's configuration class in
 * transformers 5.23.
 */
public abstract sealed class Architecture
    permits Gemma2, Gemma3, Llama, Mistral, Mixtral, Olmo2, Phi3, Qwen2, Qwen3, Qwen3Moe, SmolLm3 {
  private final String className;
  private final String modelType;
  private final Gguf gguf;

  /**
   * @param className the entry of {@code architectures}
   * @param modelType the value of {@code model_type}
   */
  Architecture(String className, String modelType, Gguf gguf) {
    this.className = className;
    this.modelType = modelType;
    this.gguf = gguf;
  }

  /**
   * What llama.cpp makes of the family.
   *
   * @param name of its architecture, {@code general.architecture}, the prefix of its keys
   * @param rotatesNeighbours whether it rotates neighbouring elements of a head; then its converter
   *     reorders the rows of q and k. Else it rotates the halves, as transformers does
   * @param readsDivisors whether it reads {@link GgufHyperparameters#ROPE_FREQS}
   */
  record Gguf(String name, boolean rotatesNeighbours, boolean readsDivisors) {}

  /**
   * What a field that is absent means.
   *
   * @param numKeyValueHeads empty: as many as query heads
   * @param headDim empty: hidden size by heads
   */
  record Defaults(
      int vocabSize,
      int hiddenSize,
      int intermediateSize,
      int numHiddenLayers,
      int numAttentionHeads,
      OptionalInt numKeyValueHeads,
      OptionalInt headDim,
      int maxPositionEmbeddings,
      double ropeTheta,
      boolean tieWordEmbeddings,
      OptionalInt bosTokenId,
      List<Integer> eosTokenIds,
      OptionalInt padTokenId) {}

  /** The supported ones, of which configurations hold the very objects. */
  static List<Architecture> all() {
    return All.ARCHITECTURES;
  }

  /** Apart, because a class cannot make objects of those that extend it before it is there. */
  private static final class All {
    static final List<Architecture> ARCHITECTURES =
        List.of(
            new Llama(),
            new Mistral(),
            new Qwen2(),
            new Qwen3(),
            new SmolLm3(),
            new Gemma2(),
            new Gemma3(),
            new Phi3(),
            new Olmo2(),
            new Mixtral(),
            new Qwen3Moe());
  }

  /** The class that computes the model in transformers, such as {@code LlamaForCausalLM}. */
  public String className() {
    return className;
  }

  /** The name that a {@code config.json} has for the family, such as {@code llama}. */
  public String modelType() {
    return modelType;
  }

  Gguf gguf() {
    return gguf;
  }

  abstract Defaults defaults();

  /** What is added to mean squares where the file does not say. */
  double rmsNormEps() {
    return 1e-6;
  }

  /** Whether a GGUF file is of the family; several may share a name of llama.cpp's. */
  boolean isIn(GgufFields file) {
    return file.architecture().equals(gguf.name());
  }

  /**
   * Sets the fields of {@code config.json} that not every family has, from a GGUF file that comes
   * alone.
   *
   * @throws ai.nibble.InvalidInputException if the file says of the model what is not read
   */
  void configure(GgufFields file, ObjectNode json) {
    json.put("hidden_act", "silu");
  }

  /** Whether a part of each head may be rotated alone. */
  boolean rotatesPartly() {
    return false;
  }

  /** Integers that a GGUF file says of the family beside those of every one, without its prefix. */
  Map<String, Integer> ggufIntegers(ModelConfig config) {
    return Map.of();
  }

  /** The same of numbers. */
  Map<String, Double> ggufNumbers(ModelConfig config) {
    return Map.of();
  }

  /** Whether llama.cpp knows of the windows of the family's layers. */
  boolean slidesInGguf() {
    return false;
  }

  /** What llama.cpp takes for granted of the family and such a model has otherwise. */
  Optional<String> inexpressible(ModelConfig config) {
    return Optional.empty();
  }

  /** The rotary fields: of layers that see everything, where those that slide have their own. */
  RopeFields rope(
      ConfigFields fields, int length, List<String> problems, Consumer<String> notices) {
    return new RopeFields(fields, length, problems, notices);
  }

  /** The share of a head's elements that positions rotate. */
  double rotaryShare(RopeFields rope) {
    return 1;
  }

  /** The rotary fields of layers that slide, where they have their own. */
  Optional<DecoderForm.Rope> slidingRope(
      ConfigFields fields, int length, List<String> problems, Consumer<String> notices) {
    return Optional.empty();
  }

  /**
   * Reads the fields that say how layers compute; a field of a wrong value is noted there.
   *
   * @param layers how many the model has, at least 1
   */
  abstract DecoderForm form(ConfigFields fields, int layers);

  /** What {@code hidden_act} names, of those that gate by SiLU alone. */
  static Activation silu(ConfigFields f) {
    String act = f.string("hidden_act", "silu");
    if (!act.equals("silu") && !act.equals("swish")) {
      f.wrong("hidden_act", "'silu' (or its other name 'swish')");
    }
    return Activation.SILU;
  }

  /** {@code LlamaForCausalLM (llama)}. */
  @Override
  public String toString() {
    return className + " (" + modelType + ")";
  }
}
