package ai.nibble.nn;

import ai.nibble.cuda.Int8Kernels;
import ai.nibble.nn.Workspace.Purpose;
import ai.nibble.quant.Int8Rows;
import ai.nibble.quant.Quantized8Bit;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Device;
import ai.nibble.tensor.Ops;
import ai.nibble.tensor.Scope;
import ai.nibble.tensor.Tensor;
import java.util.stream.IntStream;

/**
 * The product of LLM.int8() (Dettmers et al. 2022, section 3) with the weights of a group: columns
 * of x that hold an outlier, a magnitude of the threshold or more, are multiplied in the compute
 * dtype with the weight's dequantised columns; of the others each row is quantised by its absmax,
 * multiplied in int8 and summed in int32, which is exact, and scaled back.
 *
 * <p>What is an outlier column is decided for all rows together, as in bitsandbytes. It rounds x to
 * float16 first; here x is quantised as it is. The scaled part is rounded to the product's dtype
 * before the outliers' is added. Members that are not held in 8 bits are multiplied by their
 * values.
 */
final class Int8Product {
  /** A GPU's int8 product takes more than 16 rows. */
  static final long DEVICE_ROWS = 32;

  private final LinearGroup group;
  private final Precision precision;
  private final Workspace work;

  Int8Product(LinearGroup group, Precision precision, Workspace work) {
    this.group = group;
    this.precision = precision;
    this.work = work;
  }

  /** Whether a weight of the group is held in 8 bits. */
  static boolean takes(LinearGroup group) {
    return group.members().stream().anyMatch(m -> m.weight() instanceof Quant8Weight);
  }

  /**
   * {@code y = x·Wᵀ} of all members, without adapters and biases.
   *
   * @param y receives {@code [N, sum of out]} in the product's dtype, contiguous
   * @param x {@code [N, in]} in the compute dtype, contiguous
   */
  void multiply(Tensor y, Tensor x) {
    try (Scope scope = new Scope();
        Input input = new Input(x, threshold())) {
      long column = 0;
      for (Linear member : group.members()) {
        Weight weight = member.weight();
        long out = weight.outFeatures();
        boolean alone = group.members().size() == 1;
        Tensor part = alone ? y : scope.empty(y.device(), y.dtype(), y.size(0), out);
        if (weight instanceof Quant8Weight held) {
          multiply(part, input, held.quantized());
        } else {
          multiply(part, input, weight);
        }
        if (!alone) {
          scope.own(y.narrow(1, column, out)).copyFrom(part);
        }
        column += out;
      }
    }
  }

  private float threshold() {
    return group.members().stream()
        .map(Linear::weight)
        .filter(Quant8Weight.class::isInstance)
        .map(w -> ((Quant8Weight) w).threshold())
        .findFirst()
        .orElseThrow();
  }

  private void multiply(Tensor y, Input input, Quantized8Bit weight) {
    long n = y.size(0);
    long out = weight.outFeatures();
    try (Scope scope = new Scope()) {
      Tensor all = scope.own(work.get(Purpose.SUMS, DType.INT32, input.codes.size(0), out));
      Ops.intMm(all, input.codes, weight.codes());
      Tensor sums = scope.own(all.narrow(0, 0, n));
      if (Kernels.serve(y)) {
        Int8Kernels.recover(sums, input.absmax, weight.absmax(), y);
      } else {
        Int8Rows.recover(sums, input.absmax, weight.absmax(), y);
      }
      if (input.outliers.length > 0) {
        addOutliers(y, input, weight, scope);
      }
    }
  }

  private void addOutliers(Tensor y, Input input, Quantized8Bit weight, Scope scope) {
    Device device = y.device();
    long k = input.outliers.length;
    Tensor index = scope.own(Tensor.ofIndices(device, input.outliers));
    Tensor x = scope.empty(device, input.x.dtype(), y.size(0), k);
    Ops.indexSelect(x, input.x, 1, index);
    Tensor codes = scope.empty(device, DType.INT8, weight.outFeatures(), k);
    Ops.indexSelect(codes, weight.codes(), 1, index);
    Tensor w = scope.empty(device, precision.product(), weight.outFeatures(), k);
    try (Quantized8Bit columns = weight.withCodes(codes)) {
      columns.dequantize(w, 0, precision.compute());
    }
    Tensor wide = precision.widens() ? scope.own(x.to(precision.product())) : x;
    Ops.addmm(y, wide, scope.own(w.t()), 1, 1);
  }

  private void multiply(Tensor y, Input input, Weight weight) {
    try (Scope scope = new Scope()) {
      Tensor values = scope.own(values(weight));
      Tensor x = precision.widens() ? scope.own(input.x.to(precision.product())) : input.x;
      Ops.mm(y, x, scope.own(values.t()));
    }
  }

  /** The weight in the product's dtype: itself where it is held so. */
  private Tensor values(Weight weight) {
    if (weight instanceof DenseWeight dense && dense.tensor().dtype() == precision.product()) {
      return dense.tensor().share();
    }
    Tensor values =
        work.get(Purpose.WEIGHT, precision.product(), weight.outFeatures(), weight.inFeatures());
    weight.writeTo(values, 0, precision);
    return values;
  }

  /** An input's codes, which all members read. */
  private final class Input implements AutoCloseable {
    private final Scope scope = new Scope();
    private final Tensor x;

    /** On a GPU of at least {@link #DEVICE_ROWS} rows, those too many undefined. */
    private final Tensor codes;

    private final Tensor absmax;
    private final int[] outliers;

    Input(Tensor x, float threshold) {
      this.x = x;
      long n = x.size(0);
      long in = x.size(1);
      try {
        long rows = x.device().isCpu() ? n : Math.max(n, DEVICE_ROWS);
        codes = scope.own(work.get(Purpose.CODES, DType.INT8, rows, in));
        absmax = scope.empty(x.device(), DType.FLOAT32, n);
        Tensor mask = scope.empty(x.device(), DType.UINT8, in);
        quantize(scope.own(codes.narrow(0, 0, n)), mask, threshold);
        outliers = threshold > 0 ? columns(mask) : new int[0];
      } catch (RuntimeException e) {
        scope.close();
        throw e;
      }
    }

    private void quantize(Tensor q, Tensor mask, float threshold) {
      if (!Kernels.serve(x)) {
        Int8Rows.quantize(x, q, absmax, mask, threshold);
      } else if (threshold > 0) {
        Int8Kernels.quantize(x, q, absmax, mask, threshold);
      } else {
        Int8Kernels.quantize(x, q, absmax);
      }
    }

    /** Columns that the mask has; on a GPU this waits for it. */
    private int[] columns(Tensor mask) {
      byte[] set = new byte[(int) mask.numel()];
      try (Tensor host = mask.to(Device.CPU)) {
        host.bytes(0, set.length).get(set);
      }
      return IntStream.range(0, set.length).filter(c -> set[c] != 0).toArray();
    }

    @Override
    public void close() {
      scope.close();
    }
  }
}
