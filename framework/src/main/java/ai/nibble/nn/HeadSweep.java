package ai.nibble.nn;

import ai.nibble.cuda.CrossEntropyKernels;
import ai.nibble.nn.Workspace.Purpose;
import ai.nibble.nn.vector.Softmax512;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Ops;
import ai.nibble.tensor.Parallel;
import ai.nibble.tensor.Rows;
import ai.nibble.tensor.Scope;
import ai.nibble.tensor.Tensor;
import java.nio.ByteBuffer;
import java.nio.FloatBuffer;
import java.util.List;

/**
 * Rows of hidden states meet the output head in chunks, so that the logits of all of them never
 * exist at once. What comes out is each row's negative log-likelihood of its target and, where they
 * are wanted, the gradients of these, which cost one more product with the head.
 */
final class HeadSweep {
  private static final int ROWS_A_CHUNK = 512;

  /** Rows that a thread takes at a time, in registers: a chunk's suffice for 64 threads. */
  private static final int ROWS_A_RANGE = 8;

  /** Fewer starve a GPU's products. */
  private static final int ROWS_A_DEVICE_CHUNK = 2048;

  private final Head head;
  private final int[] targets;
  private final Precision precision;
  private final Workspace work;
  private final LogitCap cap;

  /**
   * @param targets the right token of each row, not copied
   * @param cap of the logits
   */
  HeadSweep(Head head, int[] targets, Precision precision, Workspace work, LogitCap cap) {
    this.head = head;
    this.targets = targets;
    this.precision = precision;
    this.work = work;
    this.cap = cap;
  }

  /**
   * The gradients that a sweep makes.
   *
   * @param hidden takes those by the hidden states: {@code [M, hidden]} in the compute dtype; null:
   *     none are made
   * @param trained those by the head's parameters are added to them, float32; empty: none are made
   * @param scale what each is multiplied by
   * @param rows a factor of its own for each row's, float32 {@code [M]} where the hidden states
   *     are; null: 1
   */
  record Wanted(Tensor hidden, List<Tensor> trained, double scale, Tensor rows) {}

  /** Rows of one chunk. */
  static int chunk(boolean kernels) {
    return kernels ? ROWS_A_DEVICE_CHUNK : ROWS_A_CHUNK;
  }

  /**
   * Bytes that a sweep holds for the moment, beside the workspace's; for each thread up to two
   * windows on the logits, the second where they have a cap.
   */
  static long held(
      Extent e, int rows, int hidden, int vocabulary, TableShape head, boolean gradient) {
    long chunk = Math.min(rows, chunk(e.kernels()));
    long losses = (e.kernels() ? 2 : 1) * e.bytes(DType.FLOAT32, rows);
    int copies = e.precision().widens() ? gradient ? 2 : 1 : 0;
    long range = Math.min(chunk, Rows.grain(2L * vocabulary));
    boolean lie = e.inRegisters(vocabulary) && !e.precision().widens() && !head.capped();
    long windows =
        e.kernels() || lie ? 0 : 2 * e.threads() * e.bytes(DType.FLOAT32, range, vocabulary);
    return losses
        + copies * e.product(chunk, hidden)
        + windows
        + HeadProduct.held(e, chunk, hidden, vocabulary, head, gradient);
  }

  /**
   * A footprint with the buffers that a sweep asks for: the logits of a chunk, the head in the
   * product's dtype where it is held in another, products that are gradients.
   *
   * @param gradient whether gradients are made
   */
  static Footprint using(
      Footprint f,
      Extent e,
      int rows,
      int hidden,
      int vocabulary,
      TableShape head,
      boolean gradient) {
    long chunk = Math.min(rows, chunk(e.kernels()));
    Footprint all = f.using(Purpose.LOGITS, e.product(chunk, vocabulary));
    if (!HeadWeight.isReady(head.held(), e.precision())) {
      all = all.using(Purpose.HEAD, e.product(vocabulary, hidden));
    }
    if (head.rank() > 0 && head.drops()) {
      all = all.using(Purpose.DROPPED, e.product(chunk, hidden));
    }
    if (!gradient || !head.learns() || e.precision().product() == DType.FLOAT32) {
      return all;
    }
    long product =
        head.trained()
            ? e.product(vocabulary, hidden)
            : head.rank() > 0
                ? Math.max(e.product(vocabulary, head.rank()), e.product(head.rank(), hidden))
                : e.product(head.rows(), hidden);
    return all.using(Purpose.WEIGHT_GRAD, product);
  }

  /**
   * Runs it. On a device nothing is read back, so that it need not be waited for.
   *
   * @param hidden {@code [M, hidden]}
   * @return each row's loss in nats, float32 {@code [M]}, the caller's
   */
  Tensor run(Tensor hidden, Wanted wanted) {
    if (hidden.size(0) != targets.length) {
      throw new IllegalArgumentException(targets.length + " targets for hidden states " + hidden);
    }
    boolean kernels = Kernels.serve(hidden);
    int most = chunk(kernels);
    float[] factors = kernels || wanted.rows() == null ? null : wanted.rows().toFloats();
    try (Scope scope = new Scope();
        HeadProduct product = new HeadProduct(head, precision, work)) {
      Tensor right = kernels ? scope.own(Tensor.ofInts(hidden.device(), targets)) : null;
      Tensor losses = scope.own(Tensor.empty(hidden.device(), DType.FLOAT32, targets.length));
      for (int begin = 0; begin < targets.length; begin += most) {
        int rows = Math.min(targets.length - begin, most);
        try (Scope chunk = new Scope()) {
          Tensor input = chunk.own(input(chunk.own(hidden.narrow(0, begin, rows))));
          long vocabulary = head.weight().outFeatures();
          Tensor logits =
              chunk.own(work.get(Purpose.LOGITS, precision.product(), rows, vocabulary));
          product.logits(logits, input, begin);
          Tensor part = chunk.own(losses.narrow(0, begin, rows));
          if (kernels) {
            byKernels(part, logits, chunk.own(right.narrow(0, begin, rows)), begin, wanted);
          } else {
            inJava(part, logits, begin, wanted, factors);
          }
          if (wanted.hidden() != null) {
            addGradients(product, logits, input, begin, wanted);
          }
        }
      }
      return losses.share();
    }
  }

  private Tensor input(Tensor part) {
    return precision.widens() ? part.to(precision.product()) : part.share();
  }

  /** From the logits' gradient, which has taken their place. */
  private void addGradients(
      HeadProduct product, Tensor logits, Tensor input, int begin, Wanted wanted) {
    int rows = (int) logits.size(0);
    try (Scope scope = new Scope()) {
      Tensor out = scope.own(wanted.hidden().narrow(0, begin, rows));
      Tensor dx =
          precision.widens()
              ? scope.own(
                  Tensor.empty(out.device(), precision.product(), rows, head.weight().inFeatures()))
              : out;
      product.inputGradient(dx, logits, begin);
      if (!wanted.trained().isEmpty()) {
        product.addGradients(logits, input, begin, wanted.trained());
      }
      if (dx != out) {
        out.copyFrom(dx);
      }
    }
  }

  private void byKernels(Tensor losses, Tensor logits, Tensor targets, int begin, Wanted wanted) {
    boolean gradient = wanted.hidden() != null;
    if (cap.isNone()) {
      CrossEntropyKernels.forward(losses, logits, targets, wanted.scale(), gradient);
    } else {
      CrossEntropyKernels.forwardCapped(
          losses, logits, targets, wanted.scale(), gradient, cap.cap());
    }
    if (gradient && wanted.rows() != null) {
      scaleRows(logits, wanted.rows(), begin);
    }
  }

  /**
   * Multiplies every row of a matrix by a factor of its own, in place.
   *
   * @param matrix {@code [rows, columns]}
   * @param factors float32 where the matrix is; those from {@code begin} on are the rows'
   */
  static void scaleRows(Tensor matrix, Tensor factors, int begin) {
    long rows = matrix.size(0);
    try (Tensor own = factors.narrow(0, begin, rows);
        Tensor column = own.view(rows, 1);
        Tensor typed = column.to(matrix.dtype())) {
      Ops.mul(matrix, matrix, typed);
    }
  }

  /**
   * The losses of a chunk's rows; where gradients are wanted, these take the logits' place. A few
   * rows at a time from start to end, so that they are read from memory once.
   *
   * @param factors {@link Wanted#rows} of all rows
   */
  private void inJava(Tensor losses, Tensor logits, int begin, Wanted wanted, float[] factors) {
    FloatBuffer to = losses.floats();
    if (cap.isNone() && PairRows.serve(logits.size(1), logits)) {
      inRegisters(to, logits, begin, wanted, factors);
      return;
    }
    Parallel.forRanges(
        logits.size(0),
        Rows.grain(2 * logits.size(1)),
        (first, last) -> {
          try (Tensor rows = logits.narrow(0, first, last - first);
              Tensor logProbs = rows.to(DType.FLOAT32);
              Tensor tanh = cap.isNone() ? null : cap.tanh(rows.to(DType.FLOAT32))) {
            if (tanh != null) {
              cap.timesCap(logProbs, tanh);
            }
            Ops.logSoftmax(logProbs, logProbs);
            FloatBuffer values = logProbs.floats();
            int width = (int) logProbs.size(1);
            for (int r = 0; r < last - first; r++) {
              int row = begin + (int) first + r;
              to.put((int) first + r, -values.get(r * width + targets[row]));
            }
            if (wanted.hidden() != null) {
              Ops.exp(logProbs, logProbs);
              for (int r = 0; r < last - first; r++) {
                int row = begin + (int) first + r;
                float scale = (float) wanted.scale();
                scale *= factors == null ? 1 : factors[row];
                finishGradient(values, r * width, width, targets[row], scale);
              }
              if (tanh != null) {
                Ops.tanhBackward(logProbs, logProbs, tanh);
              }
              rows.copyFrom(logProbs);
            }
          }
        });
  }

  /** As {@link #inJava}, of rows that {@link PairRows} serve. */
  private void inRegisters(
      FloatBuffer losses, Tensor logits, int begin, Wanted wanted, float[] factors) {
    int width = (int) logits.size(1);
    Parallel.forRanges(
        logits.size(0),
        ROWS_A_RANGE,
        (first, last) -> {
          float[] powers = new float[width];
          ByteBuffer rows = PairRows.window(logits, first, last);
          for (int r = (int) first; r < last; r++) {
            int row = begin + r;
            float scale = (float) wanted.scale();
            scale *= factors == null ? 1 : factors[row];
            losses.put(
                r,
                Softmax512.crossEntropy(
                    rows,
                    (int) (r - first) * PairRows.bytes(logits),
                    width,
                    targets[row],
                    scale,
                    wanted.hidden() != null,
                    powers));
          }
        });
  }

  /** Subtracts one at the target of a row of probabilities and multiplies by the scale. */
  private static void finishGradient(
      FloatBuffer values, int at, int width, int target, float scale) {
    float[] row = new float[width];
    values.get(at, row);
    row[target] -= 1;
    for (int c = 0; c < width; c++) {
      row[c] *= scale;
    }
    values.put(at, row);
  }
}
