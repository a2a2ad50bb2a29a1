package ai.nibble.nn;

import ai.nibble.cuda.LoraKernels;
import ai.nibble.nn.Workspace.Purpose;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Ops;
import ai.nibble.tensor.Parallel;
import ai.nibble.tensor.Rows;
import ai.nibble.tensor.Scope;
import ai.nibble.tensor.Tensor;
import java.util.List;

/**
 * The product of hidden states with an {@link Head output head}, of as many rows at a time as the
 * caller likes: {@code logits = x·Wᵀ + h·(s·B)ᵀ} of {@code h = d(x)·Aᵀ}, d the dropout. Backward,
 * with g the gradient by the logits: {@code dh = g·s·B}, {@code dx = g·W + d(dh·A)}; {@code dA =
 * dhᵀ·d(x)}, {@code dB = s·gᵀ·h}, {@code dW = gᵀ·x}.
 *
 * <p>Nothing is kept from a product to its gradients: h is made again, which costs {@code r /
 * vocabulary} of the product.
 */
public final class HeadProduct implements AutoCloseable {
  private final Head head;
  private final Precision precision;
  private final Workspace work;
  private final Scope scope = new Scope();
  private final Tensor weight;
  private Tensor a;
  private Tensor scaledB;

  /** Opens the head: the workspace's copy of it is this one's until it is closed. */
  HeadProduct(Head head, Precision precision, Workspace work) {
    this(head, precision, work, new HeadWeight(head.weight(), precision).open(work));
  }

  /**
   * @param weight the head's, ready for products; taken over
   */
  private HeadProduct(Head head, Precision precision, Workspace work, Tensor weight) {
    this.head = head;
    this.precision = precision;
    this.work = work;
    this.weight = scope.own(weight);
    try {
      if (head.adapter().isPresent()) {
        LowRank adapter = head.adapter().get();
        a = scope.own(adapter.a().value().to(precision.product()));
        scaledB = scope.own(scaledB(adapter, precision.product()));
      }
    } catch (RuntimeException e) {
      scope.close();
      throw e;
    }
  }

  /**
   * Logits by a head that was opened before.
   *
   * @param weight the head's, ready for products; stays the caller's
   * @param x {@code [rows, hidden]} in the product's dtype
   * @return {@code [rows, vocabulary]} in the product's dtype, which the caller closes
   */
  public static Tensor logits(
      Head head, Precision precision, Workspace work, Tensor weight, Tensor x) {
    Tensor logits = Tensor.empty(x.device(), precision.product(), x.size(0), weight.size(0));
    try (HeadProduct product = new HeadProduct(head, precision, work, weight.share())) {
      product.logits(logits, x, 0);
      return logits;
    } catch (RuntimeException e) {
      logits.close();
      throw e;
    }
  }

  /**
   * Bytes that products of a chunk of rows hold beside what comes in and out.
   *
   * @param gradient whether gradients are made
   */
  static long held(
      Extent e, long chunk, int hidden, int vocabulary, TableShape head, boolean gradient) {
    if (head.rank() == 0) {
      return gradient && head.rows() > 0 ? e.product(chunk, head.rows()) : 0;
    }
    int r = head.rank();
    long matrices = e.product(r, hidden) + e.product(vocabulary, r);
    long masked = gradient && head.drops() ? 2 * e.product(chunk, hidden) : 0;
    return matrices + 2 * e.product(chunk, r) + masked;
  }

  /** {@code scaling · B}, rounded once; the caller closes it. */
  static Tensor scaledB(LowRank adapter, DType dtype) {
    Tensor b = adapter.b().value();
    try (Tensor factor = Tensor.of(b.device(), new float[] {(float) adapter.scaling()}, 1);
        Tensor scaled = Tensor.empty(b.device(), DType.FLOAT32, b.shape())) {
      return Ops.mul(scaled, b, factor).to(dtype);
    }
  }

  /**
   * Writes the logits of some rows.
   *
   * @param logits takes {@code [rows, vocabulary]} in the product's dtype
   * @param x {@code [rows, hidden]} in the product's dtype
   * @param first number of the first row among all, which dropout goes by
   */
  void logits(Tensor logits, Tensor x, int first) {
    try (Tensor transposed = weight.t()) {
      Ops.mm(logits, x, transposed);
    }
    if (a != null) {
      try (Tensor read = dropped(x, first);
          Tensor h = down(read);
          Tensor up = scaledB.t()) {
        Ops.addmm(logits, h, up, 1, 1);
      }
    }
  }

  /** {@code d(x)·Aᵀ}. */
  private Tensor down(Tensor read) {
    try (Tensor transposed = a.t()) {
      Tensor h = Tensor.empty(read.device(), precision.product(), read.size(0), a.size(0));
      return Ops.mm(h, read, transposed);
    }
  }

  /**
   * Adds the gradients of what is trained.
   *
   * @param g gradient by the logits, {@code [rows, vocabulary]} in the product's dtype
   * @param x as in {@link #logits}
   * @param into of {@link Head#parameters}, in their order, float32
   */
  void addGradients(Tensor g, Tensor x, int first, List<Tensor> into) {
    if (head.weight().parameter().isPresent()) {
      WeightGradients.addProduct(into.get(0), g, x, work);
    } else if (a != null) {
      addAdapterGradients(g, x, first, into);
    } else if (head.trainedRows().isPresent()) {
      try (Tensor columns = head.trainedRows().get().columns(g)) {
        WeightGradients.addProduct(into.get(0), columns, x, work);
      }
    }
  }

  private void addAdapterGradients(Tensor g, Tensor x, int first, List<Tensor> into) {
    try (Scope made = new Scope()) {
      Tensor read = made.own(dropped(x, first));
      WeightGradients.addProduct(into.get(0), made.own(downGradient(g)), read, work);
      // with the scaling in h instead of in the gradient, which is the vocabulary wide
      Tensor h = made.own(down(read));
      float[] factor = {(float) head.adapter().orElseThrow().scaling()};
      Tensor scale = made.own(made.own(Tensor.of(h.device(), factor, 1)).to(h.dtype()));
      WeightGradients.addProduct(into.get(1), g, Ops.mul(h, h, scale), work);
    }
  }

  /** {@code g·s·B}. */
  private Tensor downGradient(Tensor g) {
    Tensor dh = Tensor.empty(g.device(), precision.product(), g.size(0), a.size(0));
    return Ops.mm(dh, g, scaledB);
  }

  /**
   * The gradient by x.
   *
   * @param dx takes {@code [rows, hidden]} in the product's dtype
   */
  void inputGradient(Tensor dx, Tensor g, int first) {
    Ops.mm(dx, g, weight);
    if (a == null) {
      return;
    }
    try (Tensor dh = downGradient(g)) {
      if (!head.drops()) {
        Ops.addmm(dx, dh, a, 1, 1);
        return;
      }
      try (Tensor through = Tensor.empty(g.device(), precision.product(), dx.shape());
          Tensor masked = dropped(Ops.mm(through, dh, a), first);
          Tensor sum = Ops.add(dx, masked, 1)) {
        dx.copyFrom(sum);
      }
    }
  }

  /** Rows after dropout; the caller closes them. */
  private Tensor dropped(Tensor x, int first) {
    if (!head.drops()) {
      return x.share();
    }
    int in = (int) x.size(1);
    long stride = (in + 3L) & ~3L; // rows begin at multiples of 4, as dropout has it
    double p = head.adapter().orElseThrow().dropout();
    long key = Dropout.from(head.dropoutKey(), first * stride);
    Tensor out = work.get(Purpose.DROPPED, x.dtype(), x.shape());
    if (Kernels.serve(x)) {
      LoraKernels.dropout(out, x, key, p);
      return out;
    }
    Parallel.forRanges(
        x.size(0),
        Rows.grain(in),
        (begin, end) -> {
          try (Rows from = Rows.reading(x, begin, end);
              Rows to = Rows.writing(out, begin, end)) {
            float[] row = new float[in];
            for (long r = begin; r < end; r++) {
              from.load(r, row);
              Dropout.apply(row, in, r * stride, key, p);
              to.store(r, row);
            }
          }
        });
    return out;
  }

  @Override
  public void close() {
    scope.close();
  }
}
