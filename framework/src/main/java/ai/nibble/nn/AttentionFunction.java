package ai.nibble.nn;

import ai.nibble.autograd.Function;
import ai.nibble.autograd.Gradients;
import ai.nibble.nn.HeadLayout.Part;
import ai.nibble.nn.Workspace.Purpose;
import ai.nibble.tensor.Ops;
import ai.nibble.tensor.Parallel;
import ai.nibble.tensor.Scope;
import ai.nibble.tensor.Tensor;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/**
 * Forward and backward of {@link Attention}, sequence by sequence, by blocks of query rows. A block
 * of rows meets only the keys up to its last row, so what causality masks is mostly never computed.
 * Saves the projections; backward rotates them again and makes each block's probabilities anew.
 */
final class AttentionFunction extends Function {
  /**
   * Tokens a block: enough rows for the products, few enough that little lies above the diagonal.
   */
  private static final int BLOCK_TOKENS = 128;

  /** At most this many blocks add into one gradient, each rounding to the product's dtype. */
  private static final int MAX_BLOCKS = 8;

  private final Attention attention;
  private final Pass pass;
  private final Precision precision;
  private final Workspace work;
  private Tensor qkv;

  AttentionFunction(Attention attention, Pass pass, Precision precision, Workspace work) {
    this.attention = attention;
    this.pass = pass;
    this.precision = precision;
    this.work = work;
  }

  @Override
  protected Tensor[] forward(Tensor[] inputs) {
    qkv = save(inputs[0]);
    long width = (long) attention.heads() * attention.headDim();
    Tensor output = Tensor.empty(precision.compute(), inputs[0].size(0), width);
    coverPositions();
    for (int s = 0; s < pass.sequences(); s++) {
      try (Scope scope = new Scope()) {
        HeadLayout layout = layout(s);
        Tensor q = gathered(scope, layout, Part.QUERY, inputs[0]);
        Tensor k = gathered(scope, layout, Part.KEY, inputs[0]);
        Tensor v = gathered(scope, layout, Part.VALUE, inputs[0]);
        Tensor o = scope.own(layout.allocate(Part.QUERY, precision));
        for (Block block : blocks(length(s))) {
          forwardBlock(block, q, k, v, o);
        }
        layout.scatterOutput(o, output);
      }
    }
    return new Tensor[] {output};
  }

  private void forwardBlock(Block block, Tensor q, Tensor k, Tensor v, Tensor o) {
    try (Scope scope = new Scope()) {
      Tensor p = scope.own(probabilities(block, q, k));
      Tensor part = scope.own(Tensor.empty(q.dtype(), q.size(0), block.rows(), q.size(2)));
      Ops.bmm(part, p, scope.own(v.narrow(1, 0, block.end)));
      scope.own(o.narrow(1, block.firstRow(), block.rows())).copyFrom(part);
    }
  }

  /** Softmax of the masked scores of a block's rows, {@code [kvHeads, rows, end]}. */
  private Tensor probabilities(Block block, Tensor q, Tensor k) {
    Tensor scores = work.get(Purpose.SCORES, q.dtype(), q.size(0), block.rows(), block.end);
    try (Scope scope = new Scope()) {
      Tensor rows = scope.own(q.narrow(1, block.firstRow(), block.rows()));
      Tensor keys = scope.own(scope.own(k.narrow(1, 0, block.end)).transpose(1, 2));
      Ops.baddbmm(scores, scores, rows, keys, 0, attention.scale());
    }
    mask(block, scores);
    return Ops.softmax(scores, scores);
  }

  /** Sets to −∞ what lies above the diagonal. */
  private void mask(Block block, Tensor scores) {
    int size = scores.dtype().bytes();
    int group = attention.group();
    int tokens = block.end - block.begin;
    byte[] minusInfinity = minusInfinity(tokens, size);
    long rowBytes = (long) block.end * size;
    Parallel.forRanges(
        scores.size(0) * tokens,
        BLOCK_TOKENS / 2,
        (first, last) -> {
          for (long i = first; i < last; i++) {
            int t = (int) (i % tokens);
            int masked = (tokens - 1 - t) * size;
            long row = i / tokens * block.rows() + (long) t * group;
            ByteBuffer bytes = scores.bytes(row * rowBytes, Math.toIntExact(group * rowBytes));
            for (int g = 0; g < group; g++) {
              int at = (int) (g * rowBytes) + (block.begin + t + 1) * size;
              bytes.put(at, minusInfinity, 0, masked);
            }
          }
        });
  }

  private static byte[] minusInfinity(int count, int size) {
    ByteBuffer bytes = ByteBuffer.allocate(count * size).order(ByteOrder.LITTLE_ENDIAN);
    while (bytes.hasRemaining()) {
      if (size == Float.BYTES) {
        bytes.putFloat(Float.NEGATIVE_INFINITY);
      } else {
        bytes.putShort((short) 0xff80);
      }
    }
    return bytes.array();
  }

  @Override
  protected void backward(Tensor[] gradOutputs, Gradients gradients) {
    Tensor result = Tensor.empty(precision.compute(), qkv.shape());
    for (int s = 0; s < pass.sequences(); s++) {
      try (Scope scope = new Scope()) {
        HeadLayout layout = layout(s);
        Tensor q = gathered(scope, layout, Part.QUERY, qkv);
        Tensor k = gathered(scope, layout, Part.KEY, qkv);
        Tensor v = gathered(scope, layout, Part.VALUE, qkv);
        Tensor dO = scope.own(layout.allocate(Part.QUERY, precision));
        layout.gatherOutputGradient(gradOutputs[0], dO);
        Tensor dQ = scope.own(layout.allocate(Part.QUERY, precision));
        Tensor dK = scope.own(layout.allocate(Part.KEY, precision)).zero();
        Tensor dV = scope.own(layout.allocate(Part.VALUE, precision)).zero();
        for (Block block : blocks(length(s))) {
          backwardBlock(block, new Heads(q, k, v), dO, new Heads(dQ, dK, dV));
        }
        layout.scatterGradient(Part.QUERY, dQ, result);
        layout.scatterGradient(Part.KEY, dK, result);
        layout.scatterGradient(Part.VALUE, dV, result);
      }
    }
    gradients.add(0, result);
  }

  /**
   * {@code dV += Pᵀ·dO}; {@code dS = P ⊙ (dO·Vᵀ − rowsum(P ⊙ dO·Vᵀ))}; {@code dQ = s·dS·K}; {@code
   * dK += s·dSᵀ·Q}.
   */
  private void backwardBlock(Block block, Heads in, Tensor dO, Heads grad) {
    try (Scope scope = new Scope()) {
      Tensor p = scope.own(probabilities(block, in.q, in.k));
      Tensor rows = scope.own(dO.narrow(1, block.firstRow(), block.rows()));
      Tensor values = scope.own(scope.own(in.v.narrow(1, 0, block.end)).transpose(1, 2));
      Tensor dS = scope.own(work.get(Purpose.SCORE_GRADS, p.dtype(), p.shape()));
      Ops.bmm(dS, rows, values);
      Tensor dV = scope.own(grad.v.narrow(1, 0, block.end));
      Ops.baddbmm(dV, dV, scope.own(p.transpose(1, 2)), rows, 1, 1);
      Ops.softmaxBackward(dS, dS, p);
      Tensor queries = scope.own(in.q.narrow(1, block.firstRow(), block.rows()));
      Tensor dK = scope.own(grad.k.narrow(1, 0, block.end));
      Ops.baddbmm(dK, dK, scope.own(dS.transpose(1, 2)), queries, 1, attention.scale());
      Tensor dQ = scope.own(grad.q.narrow(1, block.firstRow(), block.rows()));
      Tensor keys = scope.own(in.k.narrow(1, 0, block.end));
      Ops.baddbmm(dQ, dQ, dS, keys, 0, attention.scale());
    }
  }

  private Tensor gathered(Scope scope, HeadLayout layout, Part part, Tensor from) {
    Tensor heads = scope.own(layout.allocate(part, precision));
    layout.gather(part, from, heads);
    return heads;
  }

  private HeadLayout layout(int sequence) {
    return new HeadLayout(attention, pass.sequenceStarts()[sequence], length(sequence));
  }

  private int length(int sequence) {
    return pass.sequenceStarts()[sequence + 1] - pass.sequenceStarts()[sequence];
  }

  private void coverPositions() {
    int longest = 0;
    for (int s = 0; s < pass.sequences(); s++) {
      longest = Math.max(longest, length(s));
    }
    attention.rotary().cover(longest);
  }

  private Block[] blocks(int length) {
    int step = Math.max(BLOCK_TOKENS, (length + MAX_BLOCKS - 1) / MAX_BLOCKS);
    Block[] result = new Block[(length + step - 1) / step];
    for (int b = 0; b < result.length; b++) {
      result[b] = new Block(b * step, Math.min(length, (b + 1) * step), attention.group());
    }
    return result;
  }

  /** Query tokens {@code [begin, end)} of a sequence, which meet keys {@code [0, end)}. */
  private record Block(int begin, int end, int group) {
    long firstRow() {
      return (long) begin * group;
    }

    long rows() {
      return (long) (end - begin) * group;
    }
  }

  private record Heads(Tensor q, Tensor k, Tensor v) {}
}
