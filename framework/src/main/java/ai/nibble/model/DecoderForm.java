package ai.nibble.model;

import ai.nibble.InvalidInputException;
import ai.nibble.nn.Activation;
import ai.nibble.nn.NormScale;
import java.util.Collections;
import java.util.List;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.OptionalInt;

/**
 * How the layers of a decoder compute where families differ: what a {@link DecoderLayer} is
 * assembled by.
 *
 * @param projections of attention and MLP
 * @param activation what gates the MLP
 * @param slidingRope how layers that slide rotate, where it is not as the others do
 * @param rotaryShare the share of a head's elements that positions rotate, the first of them; above
 *     0, up to 1
 * @param experts that MLPs are mixtures of, in some of the layers or all; empty: in none
 * @param layers how each layer attends
 */
public record DecoderForm(
    Projections projections,
    Norms norms,
    Activation activation,
    Scales scales,
    Optional<Rope> slidingRope,
    double rotaryShare,
    Optional<ExpertsForm> experts,
    List<LayerAttention> layers) {

  /** Every token before, all positions rotated. */
  public static final LayerAttention FULL = new LayerAttention(OptionalInt.empty(), true);

  public DecoderForm {
    layers = List.copyOf(layers);
  }

  /** Llama's, but for biases and attention. */
  static DecoderForm plain(
      Projections projections, Activation activation, List<LayerAttention> layers) {
    return new DecoderForm(
        projections,
        Norms.LLAMA,
        activation,
        Scales.NONE,
        Optional.empty(),
        1,
        Optional.empty(),
        layers);
  }

  /** The same with other norms. */
  DecoderForm with(Norms other) {
    return new DecoderForm(
        projections, other, activation, scales, slidingRope, rotaryShare, experts, layers);
  }

  /** The same with other scales. */
  DecoderForm with(Scales other) {
    return new DecoderForm(
        projections, norms, activation, other, slidingRope, rotaryShare, experts, layers);
  }

  /** The same where layers that slide rotate otherwise. */
  DecoderForm withSlidingRope(Optional<Rope> other) {
    return new DecoderForm(
        projections, norms, activation, scales, other, rotaryShare, experts, layers);
  }

  /** The same where positions rotate a share of each head. */
  DecoderForm withRotaryShare(double share) {
    return new DecoderForm(
        projections, norms, activation, scales, slidingRope, share, experts, layers);
  }

  /**
   * How positions are rotated in.
   *
   * @param theta base of the frequencies, finite and above 1
   */
  public record Rope(double theta, RopeScaling scaling) {
    /**
     * @throws InvalidInputException if theta is out of range
     */
    public Rope {
      if (!(theta > 1 && (float) theta <= Float.MAX_VALUE)) {
        throw new InvalidInputException(
            "the base of the rotary frequencies of layers that slide is "
                + theta
                + ", expected a finite number above 1");
      }
    }
  }

  /** The same with mixtures of experts. */
  DecoderForm with(ExpertsForm other) {
    return new DecoderForm(
        projections,
        norms,
        activation,
        scales,
        slidingRope,
        rotaryShare,
        Optional.of(other),
        layers);
  }

  /** The experts of a layer; empty where its MLP is a single one. */
  public Optional<ExpertsForm> experts(int layer) {
    return experts.filter(e -> e.layers().get(layer));
  }

  /**
   * MLPs that are mixtures of experts.
   *
   * @param count experts of a layer
   * @param perToken how many of them compute a token
   * @param intermediateSize of each
   * @param sumToOne whether the weights of a token's experts are divided by their sum
   * @param rounds whether weights are rounded to the compute dtype
   * @param names what their tensors are called
   * @param layers which layers have them, one entry for each
   */
  public record ExpertsForm(
      int count,
      int perToken,
      int intermediateSize,
      boolean sumToOne,
      boolean rounds,
      ExpertNames names,
      List<Boolean> layers) {
    private static final int MAX_COUNT = 1 << 12;
    private static final int MAX_INTERMEDIATE_SIZE = 1 << 21;

    /**
     * @throws InvalidInputException if a number is out of range
     */
    public ExpertsForm {
      layers = List.copyOf(layers);
      if (count < 1 || count > MAX_COUNT || perToken < 1 || perToken > count) {
        throw new InvalidInputException(
            "%d of %d experts compute a token, expected from 1 up to all of at most %d"
                .formatted(perToken, count, MAX_COUNT));
      }
      if (intermediateSize < 1 || intermediateSize > MAX_INTERMEDIATE_SIZE) {
        throw new InvalidInputException(
            "the experts' intermediate size is %d, expected an integer from 1 to %d"
                .formatted(intermediateSize, MAX_INTERMEDIATE_SIZE));
      }
    }

    /** Of one layer alone. */
    ExpertsForm layer(int index) {
      return new ExpertsForm(
          count, perToken, intermediateSize, sumToOne, rounds, names, List.of(layers.get(index)));
    }
  }

  /**
   * The linears of a layer.
   *
   * @param attentionBias whether q, k and v projections have biases
   * @param outputBias whether the o projection has one
   * @param mlpBias whether gate, up and down projections have biases
   * @param fused whether q, k and v are one linear, and gate and up another
   */
  public record Projections(
      boolean attentionBias, boolean outputBias, boolean mlpBias, boolean fused) {
    static final Projections PLAIN = new Projections(false, false, false);
    static final Projections FUSED = new Projections(false, false, false, true);

    Projections(boolean attentionBias, boolean outputBias, boolean mlpBias) {
      this(attentionBias, outputBias, mlpBias, false);
    }

    /** With biases on all four projections of attention, or none. */
    static Projections attention(boolean bias) {
      return new Projections(bias, bias, false);
    }
  }

  /**
   * Where a layer normalises.
   *
   * @param place before what, or behind it
   * @param heads of queries and keys, before they are rotated
   * @param scale how the weights count
   */
  public record Norms(Place place, Heads heads, NormScale scale) {
    static final Norms LLAMA = new Norms(Place.BEFORE, Heads.NONE, NormScale.ROUNDED);

    /** Norms of the hidden state by attention and by the MLP. */
    public enum Place {
      /** What they read is normalised. */
      BEFORE,
      /** What they read and what they give. */
      AROUND,
      /** What they give. */
      AFTER
    }

    /** Norms of queries and keys. */
    public enum Heads {
      NONE,
      /** Each head by itself. */
      EACH,
      /** All heads of queries together, and all of keys. */
      ALL
    }

    /** Whether what attention and MLP read is normalised. */
    boolean before() {
      return place != Place.AFTER;
    }

    /** Whether what they give is. */
    boolean after() {
      return place != Place.BEFORE;
    }
  }

  /**
   * Factors and bounds of what a model computes.
   *
   * @param embedding whether embeddings are multiplied by the root of the hidden size
   * @param attention of scores; empty: {@code 1/√headDim}
   * @param scoreCap above 0: no score of attention is further from 0 ({@code cap·tanh(s/cap)})
   * @param logitCap the same of logits
   */
  public record Scales(
      boolean embedding,
      OptionalDouble attention,
      OptionalDouble scoreCap,
      OptionalDouble logitCap) {
    static final Scales NONE =
        new Scales(false, OptionalDouble.empty(), OptionalDouble.empty(), OptionalDouble.empty());

    /** The same with embeddings as they are looked up. */
    Scales withPlainEmbedding() {
      return new Scales(false, attention, scoreCap, logitCap);
    }
  }

  /**
   * How a layer attends.
   *
   * @param slidingWindow a token sees so many tokens, itself among them, at least 1; empty: all
   *     before it
   * @param rotary whether positions are rotated in; without, order is told by causality alone
   */
  public record LayerAttention(OptionalInt slidingWindow, boolean rotary) {
    /**
     * @throws InvalidInputException if the window is below 1
     */
    public LayerAttention {
      if (slidingWindow.isPresent() && slidingWindow.getAsInt() < 1) {
        throw new InvalidInputException(
            "'sliding_window' is "
                + slidingWindow.getAsInt()
                + ", expected null or an integer from 1 up");
      }
    }

    /** With positions, and a window or none. */
    static LayerAttention rotary(OptionalInt slidingWindow) {
      return new LayerAttention(slidingWindow, true);
    }
  }

  /** The same for each of so many layers. */
  static List<LayerAttention> everywhere(LayerAttention attention, int layers) {
    return Collections.nCopies(layers, attention);
  }

  /** The narrowest window of a layer; empty where all layers see everything. */
  public OptionalInt slidingWindow() {
    return layers.stream().flatMapToInt(layer -> layer.slidingWindow().stream()).min();
  }

  /** The same of one layer alone, which reads hidden states for embeddings. */
  DecoderForm layer(int index) {
    return new DecoderForm(
        projections,
        norms,
        activation,
        scales.withPlainEmbedding(),
        slidingRope,
        rotaryShare,
        experts.map(e -> e.layer(index)),
        List.of(layers.get(index)));
  }
}
