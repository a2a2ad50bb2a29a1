package ai.nibble.nn;

import ai.nibble.nn.Workspace.Purpose;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Device;
import java.util.List;

/**
 * The sizes of a {@link LinearGroup}, from which its memory follows.
 *
 * @param in features of the input
 * @param out features of each member's output
 * @param ranks of each member's adapter, 0 where it has none
 * @param dropout whether the adapters drop
 * @param trained whether the members are trained themselves
 * @param int8 whether a member is held in 8 bits
 * @param dora whether rows are scaled to magnitudes
 * @param bias whether a member has a bias
 */
public record GroupShape(
    int in,
    List<Integer> out,
    List<Integer> ranks,
    boolean dropout,
    boolean trained,
    boolean int8,
    boolean dora,
    boolean bias) {
  /** Products are up to an eighth faster where rows of 2-byte elements begin on 128 bytes. */
  private static final int ROW_UNIT = 64;

  public GroupShape {
    out = List.copyOf(out);
    ranks = List.copyOf(ranks);
  }

  /** Sum over the members. */
  int outFeatures() {
    return out.stream().mapToInt(Integer::intValue).sum();
  }

  /** Sum over the adapters. */
  int rank() {
    return ranks.stream().mapToInt(Integer::intValue).sum();
  }

  /** Columns of {@code [W, s·B, 0]}; zeros stand there only for kernels. */
  int width(boolean kernels) {
    return width(in, rank(), kernels);
  }

  /** As {@link #width(boolean)}, of any group. */
  static int width(int in, int rank, boolean kernels) {
    int columns = in + rank;
    return rank > 0 && kernels ? (columns + ROW_UNIT - 1) / ROW_UNIT * ROW_UNIT : columns;
  }

  /** Whether gradients of magnitudes follow from the output, of magnitudes that are not zero. */
  static boolean followsFromOutput(boolean drops, boolean bias, boolean kernels) {
    return !drops && !bias && !kernels;
  }

  /** Whether a checkpoint keeps the output: see {@link LinearGroup#keepsOutput}. */
  public boolean keepsOutput(Extent extent, boolean training) {
    return !dora || followsFromOutput(training && dropout, bias, extent.kernels());
  }

  /** Columns behind those of the input, as {@link LinearGroup#room} has it in training. */
  public int room(Extent extent) {
    boolean copies = extent.precision().widens() || int8 || !extent.kernels();
    return copies ? 0 : width(extent.kernels()) - in;
  }

  /**
   * What {@link LinearGroupFunction} holds. Forward makes y and saves x and {@code xAᵀ}, which lies
   * behind x where there is room. Backward holds A, {@code dA} and {@code dB} and, on the CPU, one
   * sum of a gradient at a time; then dx.
   *
   * @param training whether a backward follows
   * @param offered whether the input has the {@link #room} that is asked for
   */
  public Footprint footprint(Extent e, boolean training, boolean offered) {
    long n = e.tokens();
    boolean adapted = rank() > 0;
    boolean room = offered && room(e) > 0;
    boolean inPlace = adapted && room && !(training && dropout);
    long a = adapted ? e.product(rank(), in) : 0;
    long up = int8 && adapted ? e.product(outFeatures(), rank()) : 0;
    Footprint f = Footprint.of(e.compute(n, outFeatures())).inForward(a + up);
    if (adapted || trained) {
      boolean beside = !room || (dora && training && dropout);
      f = f.savingInput(adapted && beside ? e.product(n, rank()) : 0);
    }
    f = dora ? decomposed(f, e, training) : f;
    f = buffers(f, e, training, room);
    if (!training) {
      return f;
    }
    long gradient = inPlace ? e.product(n, width(e.kernels())) : e.compute(n, in);
    long base = dora && dropout ? e.product(n, in) : 0;
    long before = a + adapterGradients(e) + (inPlace ? gradient : 0) + base;
    long sums = dora && dropout ? 2 * e.product(n, in) : 0;
    boolean lie = e.inRegisters(in) && !e.precision().widens() && !dropout;
    long beside = a + (inPlace || lie ? 0 : e.windows(4, n, in)) + base + sums;
    return f.inBackward(before, beside, gradient);
  }

  /** What {@link DoraGains} and what they multiply add: gains and norms, and the product itself. */
  private Footprint decomposed(Footprint plain, Extent e, boolean training) {
    long n = e.tokens();
    boolean drops = training && dropout;
    boolean output = keepsOutput(e, training);
    long vectors = 2 * e.bytes(DType.FLOAT32, outFeatures());
    long norms = 0;
    for (int m = 0; m < out.size(); m++) {
      int r = ranks.get(m);
      long rows = out.get(m);
      norms =
          Math.max(
              norms,
              e.product(rows, r)
                  + 2 * e.bytes(DType.FLOAT32, rows, r)
                  + e.bytes(DType.FLOAT32, r, in));
    }
    long apart = training && !output ? e.product(n, outFeatures()) : 0;
    long difference = drops ? e.product(n, in) : 0;
    Footprint f =
        plain
            .saving(plain.saved() + (training ? vectors + apart : 0))
            .inForward(plain.forward() + Math.max(norms, difference));
    return training && output ? f.savingOutput() : f;
  }

  /** What is held at most while the gradients of A and B are added to those before. */
  private long adapterGradients(Extent e) {
    long held = rank() > 0 ? e.product(rank(), in) : 0;
    long most = held;
    for (int m = 0; m < out.size(); m++) {
      long r = ranks.get(m);
      if (r > 0) {
        long sumA = e.kernels() ? 0 : DType.FLOAT32.bytes() * r * in;
        long sumB = e.kernels() ? 0 : DType.FLOAT32.bytes() * r * out.get(m);
        most = Math.max(most, held + sumA);
        held += e.product(out.get(m), r);
        most = Math.max(most, held + sumB);
      }
    }
    return most;
  }

  private Footprint buffers(Footprint none, Extent e, boolean training, boolean room) {
    long n = e.tokens();
    boolean widens = e.precision().widens();
    boolean drops = training && dropout;
    boolean adapted = rank() > 0;
    Footprint f = none;
    if (!int8 || training) {
      f = f.using(Purpose.WEIGHT, e.product(outFeatures(), width(e.kernels())));
    }
    if (int8) {
      long rows = e.where() == Device.Type.CPU ? n : Math.max(n, Int8Product.DEVICE_ROWS);
      long widest = out.stream().mapToInt(Integer::intValue).max().orElseThrow();
      f = f.using(Purpose.CODES, e.bytes(DType.INT8, rows, in));
      f = f.using(Purpose.SUMS, e.bytes(DType.INT32, rows, widest));
    } else if (adapted ? !room : widens) {
      f = f.using(Purpose.INPUT, e.product(n, adapted ? width(e.kernels()) : in));
    }
    if (widens) {
      f = f.using(Purpose.OUTPUT, e.product(n, outFeatures()));
    }
    if (adapted && (drops || widens)) {
      f = f.using(Purpose.DROPPED, e.product(n, in));
    }
    if (training && !(adapted && room && !drops)) {
      f = f.using(Purpose.INPUT, e.product(n, width(e.kernels())));
      f = adapted ? f.using(Purpose.DROPPED, e.product(n, in)) : f;
    }
    if (training && dora) {
      f = f.using(Purpose.SCALED, e.product(n, outFeatures()));
    }
    boolean rounds = e.precision().product() != DType.FLOAT32;
    if (training && trained && rounds) {
      f = f.using(Purpose.WEIGHT_GRAD, e.product(outFeatures(), in));
    }
    return f;
  }
}
