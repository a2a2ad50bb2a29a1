package ai.nibble.nn;

import ai.nibble.autograd.Earlier;
import ai.nibble.autograd.Tape;
import ai.nibble.autograd.Variable;
import ai.nibble.nn.HeadLayout.Part;
import ai.nibble.tensor.CudnnAttention;
import ai.nibble.tensor.Device;
import ai.nibble.tensor.EfficientAttention;
import ai.nibble.tensor.FlashAttention;
import ai.nibble.tensor.FusedAttention;
import ai.nibble.tensor.Ops;
import ai.nibble.tensor.Tensor;

/**
 * Causal grouped-query attention with rotary positions (Vaswani et al. 2017; Ainslie et al. 2023).
 *
 * @param heads query heads
 * @param keyValueHeads divides heads; each serves {@code heads / keyValueHeads} query heads
 * @param rotary positions count from the start of each sequence
 * @param scale of the scores, usually {@code 1/√headDim}
 * @param window above 0: a token sees the last so many, itself among them (Beltagy et al. 2020);
 *     {@link #NO_WINDOW}: all
 * @param cap above 0: a scaled score s becomes {@code cap·tanh(s/cap)} (Bello et al. 2016; Gemma
 *     2); {@link #NO_CAP}: it stays
 */
public record Attention(
    int heads, int keyValueHeads, RotaryTable rotary, double scale, int window, double cap) {
  /** A token sees all tokens before it. */
  public static final int NO_WINDOW = 0;

  /** Scores stay as they are. */
  public static final double NO_CAP = 0;

  public Attention {
    if (window < 0) {
      throw new IllegalArgumentException("a window of " + window + " tokens");
    }
    if (heads < 1 || keyValueHeads < 1 || heads % keyValueHeads != 0) {
      throw new IllegalArgumentException(
          keyValueHeads + " key/value heads for " + heads + " query heads");
    }
  }

  /** Without a window. */
  public Attention(int heads, int keyValueHeads, RotaryTable rotary, double scale) {
    this(heads, keyValueHeads, rotary, scale, NO_WINDOW);
  }

  /** Without a cap. */
  public Attention(int heads, int keyValueHeads, RotaryTable rotary, double scale, int window) {
    this(heads, keyValueHeads, rotary, scale, window, NO_CAP);
  }

  public int headDim() {
    return rotary.headDim();
  }

  /**
   * Its sizes.
   *
   * @param heads query heads
   * @param keyValueHeads of keys and values
   * @param window as {@link Attention#window}
   * @param capped whether scores have a cap
   */
  public record Shape(int heads, int keyValueHeads, int headDim, int window, boolean capped) {}

  /**
   * What attention over whole sequences holds.
   *
   * @param onceForBackward whether backward follows, and this is not computed again for it
   */
  public static Footprint footprint(Extent extent, Shape shape, boolean onceForBackward) {
    return extent.kernels()
        ? DeviceAttention.footprint(extent, shape)
        : AttentionFunction.footprint(extent, shape, onceForBackward);
  }

  boolean isCapped() {
    return cap != NO_CAP;
  }

  /** What products of queries and keys are multiplied by, before {@link #cap(Tensor)}. */
  double productScale() {
    return isCapped() ? scale / cap : scale;
  }

  /** Turns what {@link #productScale} gave into scores, in place. */
  void cap(Tensor products) {
    if (isCapped()) {
      Ops.tanh(products, products);
      try (Tensor factor = Tensor.of(products.device(), new float[] {(float) cap}, 1);
          Tensor typed = factor.to(products.dtype())) {
        Ops.mul(products, products, typed);
      }
    }
  }

  /** What kernels make of the scores. */
  FusedAttention.Scores scores() {
    return new FusedAttention.Scores(scale, window, cap);
  }

  /** The first of so many tokens of a sequence that the last one sees. */
  int firstSeen(int tokens) {
    return window == NO_WINDOW ? 0 : Math.max(0, tokens - window);
  }

  /** Query heads that share a key/value head. */
  int group() {
    return heads / keyValueHeads;
  }

  /**
   * @param qkv {@code [N, (heads + 2·keyValueHeads)·headDim]}: queries, keys, values side by side
   * @return {@code [N, heads·headDim]}
   */
  public Variable apply(Tape tape, Variable qkv, Pass pass, Precision precision) {
    return apply(tape, qkv, pass, precision, Earlier.NONE);
  }

  /**
   * As {@link #apply(Tape, Variable, Pass, Precision)}, computed again for a checkpoint.
   *
   * @param earlier where it knows the output of the first time, that is not computed again
   */
  public Variable apply(Tape tape, Variable qkv, Pass pass, Precision precision, Earlier earlier) {
    Tensor input = qkv.value();
    return tape.apply(
        byKernels(input, precision)
            ? new DeviceAttention(this, fused(input, pass), pass, precision, earlier)
            : new AttentionFunction(this, pass, precision, earlier),
        qkv);
  }

  /** Kernels take operands of one dtype. */
  private static boolean byKernels(Tensor input, Precision precision) {
    return Kernels.serve(input) && !precision.widens();
  }

  /**
   * The kernel for a pass over whole sequences. It depends on nothing before: see CudnnAttention.
   */
  private FusedAttention fused(Tensor input, Pass pass) {
    boolean cudnn =
        pass.trunks().length == 0
            && window == NO_WINDOW
            && !byProducts(input.device())
            && CudnnAttention.takes(input.device(), input.dtype(), headDim())
            && CudnnAttention.takes(pass.sequenceStarts());
    return cudnn ? new CudnnAttention() : fused(input);
  }

  /** Whether there is no kernel in libtorch: of scores with a cap, and on the CPU. */
  private boolean byProducts(Device device) {
    return byProducts(device.type(), isCapped());
  }

  static boolean byProducts(Device.Type where, boolean capped) {
    return capped || where == Device.Type.CPU;
  }

  /** The kernel for heads of an input's dtype on its device. */
  private FusedAttention fused(Tensor input) {
    if (byProducts(input.device())) {
      return new ProductAttention();
    }
    return FlashAttention.takes(input.device(), input.dtype(), headDim())
        ? new FlashAttention()
        : new ExpandedHeads(new EfficientAttention(), EfficientAttention.HEAD_DIM_UNIT);
  }

  /**
   * As {@link #apply}, with the keys and values of the pass's caches before those of {@code qkv},
   * which join them. Any number of new tokens follows any number of cached ones. Inference only.
   *
   * @param layer which of the caches' layers this is
   * @throws IllegalStateException if the tape records, or a cache has no room
   */
  public Variable applyCached(
      Tape tape, Variable qkv, Pass pass, int layer, Precision precision, Workspace workspace) {
    if (tape.isRecording()) {
      throw new IllegalStateException("attention to a cache has no gradient");
    }
    for (int s = 0; s < pass.sequences(); s++) {
      pass.caches().get(s).requireRoom(length(pass, s));
    }
    if (byKernels(qkv.value(), precision)) {
      return tape.apply(new DeviceCachedAttention(this, fused(qkv.value()), pass, layer), qkv);
    }
    if (pass.tokens() == pass.sequences()) {
      return tape.apply(new CachedAttention(this, pass, layer, precision, workspace), qkv);
    }
    if (pass.caches().stream().anyMatch(cache -> cache.length() > 0)) {
      return tape.apply(new ChunkAttention(this, pass, layer, precision, workspace), qkv);
    }
    for (int s = 0; s < pass.sequences(); s++) {
      int tokens = length(pass, s);
      rotary.cover(pass.caches().get(s).capacity());
      try (Tensor own = qkv.value().narrow(0, pass.sequenceStarts()[s], tokens)) {
        fill(pass.caches().get(s), layer, HeadLayout.ofSequence(this, 0, tokens), own);
      }
    }
    return apply(tape, qkv, pass, precision);
  }

  private static int length(Pass pass, int sequence) {
    return pass.sequenceStarts()[sequence + 1] - pass.sequenceStarts()[sequence];
  }

  /** Writes new tokens' rotated keys and their values behind those that a cache holds. */
  static void fill(KvCache cache, int layer, HeadLayout layout, Tensor qkv) {
    int tokens = (int) qkv.size(0);
    try (Tensor keys = cache.nextKeys(layer, tokens);
        Tensor values = cache.nextValues(layer, tokens)) {
      layout.gather(Part.KEY, qkv, keys);
      layout.gather(Part.VALUE, qkv, values);
    }
  }
}
