package ai.nibble.nn;

import ai.nibble.autograd.Earlier;
import ai.nibble.autograd.Tape;
import ai.nibble.autograd.Variable;
import ai.nibble.nn.Workspace.Purpose;
import ai.nibble.quant.PackedProduct;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Device;
import ai.nibble.tensor.Tensor;
import java.util.List;
import java.util.Optional;

/**
 * Linear layers that read the same input, computed as one product: q, k and v; gate and up; or a
 * single one.
 *
 * <p>With adapters the product is {@code [x, xAᵀ] · [W, s·B]ᵀ}: the update costs a few more columns
 * of a large product instead of a second pass over the output, and backward gets the gradient of
 * {@code xAᵀ} as columns of {@code dy · [W, s·B]}. Members share one dropout mask.
 */
public final class LinearGroup implements AutoCloseable {
  private final List<Linear> members;
  private final int layer;
  private final int outFeatures;
  private final GroupAdapters adapters = new GroupAdapters(this);
  private final GroupBiases biases = new GroupBiases(this);
  private KeptWeights kept;
  private FewRowsProduct packed;
  private List<Optional<LowRank>> packedAdapters = List.of();

  /**
   * @param layer a number that no other group of the model has; it keys dropout
   * @param members at least one, of one input size; taken over
   */
  public LinearGroup(int layer, List<Linear> members) {
    this.members = List.copyOf(members);
    this.layer = layer;
    this.outFeatures = members.stream().mapToInt(m -> (int) m.weight().outFeatures()).sum();
    for (Linear member : members) {
      if (member.weight().inFeatures() != inFeatures()) {
        throw new IllegalArgumentException(
            member.path()
                + " reads "
                + member.weight().inFeatures()
                + " features, "
                + members.get(0).path()
                + " "
                + inFeatures());
      }
    }
  }

  public List<Linear> members() {
    return members;
  }

  public int inFeatures() {
    return (int) members.get(0).weight().inFeatures();
  }

  /** Sum over the members. */
  public int outFeatures() {
    return outFeatures;
  }

  /** Sum of the adapters' ranks. */
  int rank() {
    return members.stream().mapToInt(m -> m.adapter().map(LowRank::rank).orElse(0)).sum();
  }

  /** Columns of {@code [W, s·B, 0]}; zeros stand there only for kernels. */
  int width() {
    return GroupShape.width(inFeatures(), rank(), Kernels.serve(device()));
  }

  /**
   * Columns that the product likes to have behind those of its input, so that the input need not be
   * copied beside {@code xAᵀ}; 0 where it is computed otherwise.
   */
  public int room(Precision precision) {
    boolean copies =
        precision.widens() || packed != null || Int8Product.takes(this) || !Kernels.serve(device());
    return copies ? 0 : width() - inFeatures();
  }

  /** The sizes, with the adapters that are on the members now. */
  public GroupShape shape() {
    return new GroupShape(
        inFeatures(),
        members.stream().map(m -> (int) m.weight().outFeatures()).toList(),
        members.stream().map(m -> m.adapter().map(LowRank::rank).orElse(0)).toList(),
        dropout() > 0,
        isTrained(),
        Int8Product.takes(this),
        isDora(),
        isBiased());
  }

  /** Whether rows of a member's weight are scaled to magnitudes. */
  boolean isDora() {
    return members.stream()
        .flatMap(m -> m.adapter().stream())
        .anyMatch(adapter -> adapter.magnitude().isPresent());
  }

  /** Whether a member has a bias. */
  boolean isBiased() {
    return members.stream().anyMatch(m -> m.bias() != null);
  }

  /**
   * Whether a checkpoint that keeps the output spares computing it again: backward reads no more
   * than that of it.
   */
  public boolean keepsOutput(Pass pass) {
    return !isDora() || keepsOutput(pass.training() && dropout() > 0);
  }

  boolean keepsOutput(boolean drops) {
    return DoraGains.followFromOutput(this, drops);
  }

  /** Whether a member's own weight or bias is trained. */
  boolean isTrained() {
    return members.stream()
        .anyMatch(m -> m.weight().parameter().isPresent() || m.trainedBias().isPresent());
  }

  /** The adapters' dropout; they share one mask, so they must agree on it. */
  double dropout() {
    double[] distinct =
        members.stream()
            .flatMap(m -> m.adapter().stream())
            .mapToDouble(LowRank::dropout)
            .distinct()
            .toArray();
    if (distinct.length > 1) {
      throw new IllegalStateException(
          "adapters on " + members.get(0).path() + " and its siblings differ in dropout");
    }
    return distinct.length == 0 ? 0 : distinct[0];
  }

  long dropoutKey(Pass pass) {
    return Dropout.key(pass.dropoutKey(), layer);
  }

  /**
   * Applies the group.
   *
   * @param x {@code [N, in]} in the compute dtype; contiguous, or with {@link #room} of its own
   *     behind each row that holds zeros and that is the group's to write to; its gradient then has
   *     rows that lie apart too, unless there is dropout
   * @return {@code [N, sum of out]}, the members' outputs side by side
   */
  public Variable apply(Tape tape, Variable x, Pass pass, Precision precision, Workspace work) {
    return apply(tape, x, pass, precision, work, Earlier.NONE);
  }

  /**
   * As {@link #apply(Tape, Variable, Pass, Precision, Workspace)}, computed again for a checkpoint.
   *
   * @param earlier where it knows the output of the first time, the product is left out
   */
  public Variable apply(
      Tape tape, Variable x, Pass pass, Precision precision, Workspace work, Earlier earlier) {
    return tape.apply(new LinearGroupFunction(this, pass, precision, work, earlier), x);
  }

  /** Bytes that {@link #keepWeights} takes. */
  public long keptBytes(Precision precision) {
    return (long) outFeatures() * width() * precision.product().bytes();
  }

  /**
   * Keeps the weights as products take them until {@link #dropWeights}, instead of dequantising
   * them for each; no bit changes. The adapters are read at each product as ever. After others of
   * another rank were attached, or all taken off, call it again where that is to last: else W is
   * copied for each product. W is not made anew then.
   *
   * <p>Of members that are trained themselves, only while they do not change.
   */
  public void keepWeights(Precision precision) {
    if (kept != null && kept.isOf(precision) && kept.fits()) {
      return;
    }
    KeptWeights made = new KeptWeights(this, precision);
    dropWeights();
    kept = made;
  }

  /** Whether {@link #keepWeights} keeps any. */
  public boolean keepsWeights() {
    return kept != null;
  }

  /**
   * Takes the adapters' B and magnitudes as they are now, not at each product, until {@link
   * #freeAdapters}: for generation, where that would cost more than it does beside a large product.
   * After they changed or others were attached call it again.
   *
   * @throws IllegalStateException where no weights are kept
   */
  public void fixAdapters() {
    if (kept == null) {
      throw new IllegalStateException(
          members.get(0).path() + ": adapters are fixed beside weights that are kept");
    }
    kept.fix();
  }

  /** Ends {@link #fixAdapters}; nothing happens where they are not fixed. */
  public void freeAdapters() {
    if (kept != null) {
      kept.free();
    }
  }

  /** Ends {@link #keepWeights}; nothing happens where nothing is kept. */
  public void dropWeights() {
    if (kept != null) {
      kept.close();
      kept = null;
    }
  }

  /**
   * {@code [W, s·B, 0]} for a product: what is kept, or made anew in the workspace. The caller
   * closes it; its content lasts until the group or the workspace is asked again.
   *
   * @throws IllegalStateException if adapters are fixed and others were attached since
   */
  Tensor weights(Precision precision, Workspace work) {
    if (kept != null) {
      kept.requireSameAdapters();
      if (kept.isOf(precision) && kept.fits()) {
        return kept.current();
      }
    }
    Tensor weights = work.get(Purpose.WEIGHT, precision.product(), outFeatures(), width());
    writeWeights(weights, precision);
    return weights;
  }

  /** The gains of adapters that are {@link #fixAdapters fixed}; null where there are none. */
  DoraGains fixedGains() {
    return kept == null ? null : kept.gains();
  }

  /** The gains with given {@link #weights}; the caller closes them. */
  DoraGains gains(Tensor weights, Precision precision) {
    try (Tensor a = downProjections(precision.product())) {
      return DoraGains.of(this, weights, a);
    }
  }

  /**
   * What the outputs are multiplied by, where rows are scaled to magnitudes; null where none are.
   * The caller closes it.
   */
  DoraGains gains(Precision precision) {
    if (!isDora()) {
      return null;
    }
    try (Tensor weights = Tensor.empty(device(), precision.product(), outFeatures(), width())) {
      writeWeights(weights, precision);
      return gains(weights, precision);
    }
  }

  /** Where its weights are. */
  public Device device() {
    return members.get(0).weight().device();
  }

  /** The members' adapters. */
  List<Optional<LowRank>> adaptersNow() {
    return members.stream().map(Linear::adapter).toList();
  }

  /**
   * Whether a few rows at a time can be computed from the weights as they lie quantised, on this
   * machine and JVM, in these dtypes.
   */
  public boolean canReadPacked(Precision precision) {
    if (precision.compute() == DType.FLOAT16 && device().isCpu()) {
      return Int8Product.takes(this);
    }
    return Int8Product.takes(this) || PackedGroup.takes(this) || DevicePackedGroup.takes(this);
  }

  /** Whether a row of the product depends on the rows beside it: see {@link Int8Product}. */
  public boolean mixesRows() {
    return members.stream()
        .anyMatch(m -> m.weight() instanceof Quant8Weight held && held.threshold() > 0);
  }

  /** Bits of a weight that {@link #canReadPacked} is true of. */
  public int packedBits() {
    return Int8Product.takes(this) ? 8 : 4;
  }

  /** Bytes that {@link #readPacked} takes: the adapters'. */
  public long packedBytes(Precision precision) {
    return Int8Product.takes(this)
        ? Int8Group.bytes(this, precision)
        : PackedGroup.bytes(this, precision);
  }

  /**
   * Computes products of up to {@link PackedProduct#MAX_ROWS} rows from the weights as they lie
   * quantised until {@link #dropPacked}, for generation. After adapters were attached or taken off
   * call it again.
   */
  public void readPacked(Precision precision) {
    List<Optional<LowRank>> now = adaptersNow();
    if (packed != null && packedAdapters.equals(now)) {
      return;
    }
    FewRowsProduct made = fewRows(precision);
    dropPacked();
    packed = made;
    packedAdapters = now;
  }

  private FewRowsProduct fewRows(Precision precision) {
    if (Int8Product.takes(this)) {
      return new Int8Group(this, precision);
    }
    return device().isCpu()
        ? new PackedGroup(this, precision)
        : new DevicePackedGroup(this, precision);
  }

  /** Ends {@link #readPacked}; nothing happens where it was not called. */
  public void dropPacked() {
    if (packed != null) {
      packed.close();
      packed = null;
    }
  }

  /**
   * What {@link #readPacked} made for so many rows; null where they are not computed so.
   *
   * @throws IllegalStateException if adapters changed since
   */
  FewRowsProduct packedFor(long rows) {
    if (packed == null || rows > PackedProduct.MAX_ROWS) {
      return null;
    }
    requireAdapters(packedAdapters);
    return packed;
  }

  /**
   * @throws IllegalStateException if others are on the members
   */
  void requireAdapters(List<Optional<LowRank>> taken) {
    if (!taken.equals(adaptersNow())) {
      throw new IllegalStateException(
          "the adapter on "
              + members.get(0).path()
              + " or its siblings changed since it was taken in for generation: take it in again");
    }
  }

  /** Writes {@code [W, s·B, 0]} of all members into {@code [out, width]}. */
  void writeWeights(Tensor destination, Precision precision) {
    if (kept != null && kept.isOf(precision)) {
      kept.writeTo(destination);
    } else {
      long row = 0;
      for (Linear member : members) {
        member.weight().writeTo(destination, row, precision);
        row += member.weight().outFeatures();
      }
    }
    writeAdapters(destination);
  }

  /** Writes {@code [s·B, 0]} of all members behind W. */
  void writeAdapters(Tensor destination) {
    if (rank() > 0) {
      writeUpProjections(destination, inFeatures());
    }
  }

  /** See {@link GroupAdapters#writeUp}. */
  void writeUpProjections(Tensor destination, int first) {
    adapters.writeUp(destination, first);
  }

  /** See {@link GroupAdapters#up}. */
  Tensor upProjections(DType dtype) {
    return adapters.up(dtype);
  }

  /** See {@link GroupAdapters#down}. */
  Tensor downProjections(DType dtype) {
    return adapters.down(dtype);
  }

  /** See {@link GroupBiases#values}. */
  float[] biases() {
    return biases.values();
  }

  /** See {@link GroupBiases#addTo}. */
  void addBiases(Tensor y) {
    biases.addTo(y);
  }

  @Override
  public void close() {
    dropWeights();
    dropPacked();
    members.forEach(Linear::close);
  }
}
