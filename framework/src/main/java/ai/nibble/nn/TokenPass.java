package ai.nibble.nn;

import ai.nibble.nn.vector.Dense512;
import ai.nibble.quant.PackedProduct;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Team;
import ai.nibble.tensor.Tensor;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/**
 * One token of one sequence through a decoder with weights of 4 bits: what the blocks compute on a
 * tape ({@link LinearGroup}, {@link HeadNorm}, {@link CachedAttention}, {@link RmsNorm}, {@link
 * SwiGlu}, {@link Residual}), rounded at the same places. With a row that small, operations on
 * tensors and the regions that their threads open take as long as the arithmetic. So the hidden
 * state stays in arrays, and one team of threads goes through all layers, in five phases each.
 *
 * <p>Serves one pass at a time.
 */
public final class TokenPass {
  /** Elements of the output head a parallel range, some 25 µs. */
  private static final int HEAD_ELEMENTS_A_RANGE = 1 << 17;

  /** Loaded with the first pass that is made, once a process. */
  private static final class WarmUp {
    static {
      Dense512.warmUp();
    }

    static void once() {}
  }

  /**
   * The parts of a decoder's block, which stay the caller's.
   *
   * @param qkv q, k and v projections
   * @param headNorm of their queries and keys, where there is one
   * @param gateUp gate and up projections
   */
  public record Block(
      RmsNorm inputNorm,
      LinearGroup qkv,
      Optional<HeadNorm> headNorm,
      Attention attention,
      LinearGroup output,
      RmsNorm postAttentionNorm,
      LinearGroup gateUp,
      LinearGroup down) {

    private boolean isTaken() {
      return TokenAttention.takes(attention)
          && List.of(qkv, output, gateUp, down).stream().allMatch(PackedGroup::takes);
    }
  }

  private final List<Block> blocks;
  private final TokenEmbedding embedding;
  private final RmsNorm finalNorm;
  private final DenseRows head;
  private final Optional<TokenUpdate> headUpdate;
  private final DType dtype;
  private final List<TokenAttention> attentions = new ArrayList<>();
  private final float[] hidden;
  private final TokenRow normed;
  private final TokenRow attended;
  private final TokenRow active;
  private final float[] qkv;
  private final float[] gateUp;
  private final float[] projected;
  private final float[] logits;

  /**
   * Whether a model's tokens can be computed so, on this machine and JVM.
   *
   * @param head {@code [vocabulary, hidden]}, as products take it
   */
  public static boolean takes(List<Block> blocks, Tensor head, Precision precision) {
    return PackedProduct.isAvailable()
        && Team.isAvailable()
        && !precision.widens()
        && !blocks.isEmpty()
        && DenseRows.takes(head)
        && blocks.stream().allMatch(Block::isTaken);
  }

  /**
   * @param blocks of which {@link #takes} is true, all of one shape; their groups are {@linkplain
   *     LinearGroup#readPacked read packed} when tokens are computed
   * @param head stays open as long as this is used
   * @param headUpdate is added to the head's product; its values are taken now
   */
  public TokenPass(
      List<Block> blocks,
      TokenEmbedding embedding,
      RmsNorm finalNorm,
      Tensor head,
      Optional<LowRank> headUpdate,
      Precision precision) {
    WarmUp.once();
    Block first = blocks.get(0);
    this.blocks = List.copyOf(blocks);
    this.embedding = embedding;
    this.finalNorm = finalNorm;
    this.head = new DenseRows(head);
    this.headUpdate = headUpdate.map(update -> new TokenUpdate(update, precision.compute()));
    this.dtype = precision.compute();
    blocks.forEach(block -> attentions.add(new TokenAttention(block.attention(), dtype)));
    this.hidden = new float[first.qkv().inFeatures()];
    this.normed = new TokenRow(hidden.length);
    this.attended = new TokenRow(first.output().inFeatures());
    this.active = new TokenRow(first.down().inFeatures());
    this.qkv = new float[first.qkv().outFeatures()];
    this.gateUp = new float[first.gateUp().outFeatures()];
    this.projected = new float[hidden.length];
    this.logits = new float[(int) head.size(0)];
  }

  /** Whether it can be computed with a cache: its layers' memory is read through 32-bit offsets. */
  public static boolean takes(KvCache cache) {
    return cache.layerBytes() <= Integer.MAX_VALUE;
  }

  /**
   * Computes a token, whose keys and values are written behind those of the cache; to {@linkplain
   * KvCache#advance count} it there is the caller's.
   *
   * @param id of the vocabulary
   * @return logits of what comes after, float32 {@code [1, vocabulary]}; the caller closes them
   * @throws IllegalStateException if the cache has no room, or adapters changed
   */
  public Tensor logits(int id, KvCache cache) {
    cache.requireRoom(1);
    List<Layer> layers = new ArrayList<>();
    for (int l = 0; l < blocks.size(); l++) {
      Block block = blocks.get(l);
      block.attention().rotary().cover(cache.capacity());
      RmsNorm next = l + 1 < blocks.size() ? blocks.get(l + 1).inputNorm() : finalNorm;
      layers.add(new Layer(l, block, attentions.get(l), cache, next));
    }
    embedding.load(id, dtype, hidden);
    normalize(blocks.get(0).inputNorm());
    Team.run(
        team -> {
          layers.forEach(layer -> layer.run(team));
          headUpdate.ifPresent(update -> update.readBy(team, normed.values()));
          team.ranges(
              logits.length,
              Math.max(1, HEAD_ELEMENTS_A_RANGE / hidden.length),
              this::multiplyHead,
              () -> {});
        });
    return Tensor.of(logits, 1, logits.length);
  }

  private void multiplyHead(long begin, long end) {
    head.multiply(begin, end, normed, logits);
    dtype.round(logits, (int) begin, (int) end);
    if (headUpdate.isPresent()) {
      headUpdate.get().addTo(begin, end, logits);
      dtype.round(logits, (int) begin, (int) end);
    }
  }

  private void normalize(RmsNorm norm) {
    System.arraycopy(hidden, 0, normed.values(), 0, hidden.length);
    norm.normalize(normed.values(), dtype);
    normed.ready();
  }

  /** Adds what was projected to the hidden state, which the next product reads normalised. */
  private void addProjected(RmsNorm next) {
    for (int c = 0; c < hidden.length; c++) {
      hidden[c] += projected[c];
    }
    dtype.round(hidden, 0, hidden.length);
    normalize(next);
  }

  /** {@code silu(gate) ⊙ up}. */
  private void activate() {
    float[] h = active.values();
    Dense512.silu(gateUp, h, h.length);
    dtype.round(h, 0, h.length);
    for (int c = 0; c < h.length; c++) {
      h[c] *= gateUp[h.length + c];
    }
    dtype.round(h, 0, h.length);
    active.ready();
  }

  /** A block in one pass. */
  private final class Layer {
    private final int index;
    private final Block block;
    private final TokenAttention attention;
    private final KvCache cache;
    private final RmsNorm next;
    private final PackedGroup toQkv;
    private final PackedGroup toOutput;
    private final PackedGroup toGateUp;
    private final PackedGroup toDown;

    /**
     * @param next normalises what the block gives
     */
    Layer(int index, Block block, TokenAttention attention, KvCache cache, RmsNorm next) {
      this.index = index;
      this.block = block;
      this.attention = attention;
      this.cache = cache;
      this.next = next;
      this.toQkv = packed(block.qkv());
      this.toOutput = packed(block.output());
      this.toGateUp = packed(block.gateUp());
      this.toDown = packed(block.down());
    }

    private static PackedGroup packed(LinearGroup group) {
      if (group.packedFor(1) instanceof PackedGroup packed) {
        return packed;
      }
      throw new IllegalStateException(
          group.members().get(0).path() + " and its siblings are not read packed");
    }

    void run(Team team) {
      toQkv.apply(team, normed, qkv, this::begin);
      team.ranges(block.attention().heads(), 1, this::attend, attended::ready);
      toOutput.apply(team, attended, projected, () -> addProjected(block.postAttentionNorm()));
      toGateUp.apply(team, normed, gateUp, TokenPass.this::activate);
      toDown.apply(team, active, projected, () -> addProjected(next));
    }

    private void begin() {
      block.headNorm().ifPresent(norm -> norm.normalize(qkv, dtype));
      attention.begin(cache, index, qkv);
    }

    private void attend(long begin, long end) {
      for (int head = (int) begin; head < end; head++) {
        attention.attend(cache, index, head, attended.values());
      }
    }
  }
}
