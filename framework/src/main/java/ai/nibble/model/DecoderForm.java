package ai.nibble.model;

import ai.nibble.InvalidInputException;
import java.util.Collections;
import java.util.List;
import java.util.OptionalInt;

/**
 * How the layers of a decoder compute where families differ: what a {@link DecoderLayer} is
 * assembled by.
 *
 * @param attentionBias whether q, k and v projections have biases
 * @param outputBias whether the o projection has one
 * @param mlpBias whether gate, up and down projections have biases
 * @param headNorm whether each head of queries and keys is normalised before it is rotated
 * @param layers how each layer attends
 */
public record DecoderForm(
    boolean attentionBias,
    boolean outputBias,
    boolean mlpBias,
    boolean headNorm,
    List<LayerAttention> layers) {

  /** Every token before, all positions rotated. */
  public static final LayerAttention FULL = new LayerAttention(OptionalInt.empty(), true);

  public DecoderForm {
    layers = List.copyOf(layers);
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

  /** The same of one layer alone. */
  DecoderForm layer(int index) {
    return new DecoderForm(
        attentionBias, outputBias, mlpBias, headNorm, List.of(layers.get(index)));
  }
}
