package ai.nibble.nn;

import ai.nibble.autograd.Function;
import ai.nibble.autograd.Gradients;
import ai.nibble.cuda.GatedKernels;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Ops;
import ai.nibble.tensor.Parallel;
import ai.nibble.tensor.Rows;
import ai.nibble.tensor.Scope;
import ai.nibble.tensor.Tensor;
import java.nio.FloatBuffer;

/**
 * The gated activation {@code gelu(gate) ⊙ up} (Shazeer 2020) of {@code [N, 2·intermediate]}, gate
 * left and up right, with GELU by its hyperbolic tangent (Hendrycks and Gimpel 2016), {@code
 * gelu(x) = x/2·(1 + tanh u)}, {@code u = √(2/π)·(x + 0.044715·x³)}: Gemma's {@code
 * gelu_pytorch_tanh}. Saves its input. Float32 inside, rounded where the engine's operations are.
 */
public final class GeGlu extends Function {
  private static final float BETA = (float) Math.sqrt(2 / Math.PI);
  private static final float KAPPA = 0.044715f;

  private final int room;
  private Tensor gateUp;

  public GeGlu() {
    this(0);
  }

  /**
   * @param room as in {@link SwiGlu#SwiGlu(int)}
   */
  public GeGlu(int room) {
    this.room = room;
  }

  /**
   * What it holds: its output, and for backward its input; for each thread tanh of a range, and
   * unless values are float32 windows on the tensors that it goes over.
   */
  public static Footprint footprint(Extent extent, int intermediate, int room) {
    long n = extent.tokens();
    if (extent.kernels()) {
      return Footprint.of(extent.compute(n, intermediate + room))
          .savingInput(0)
          .inBackward(0, 0, extent.compute(n, 2L * intermediate));
    }
    long rows = Math.min(n, (long) extent.threads() * Rows.grain(2L * intermediate));
    long range = rows * intermediate * DType.FLOAT32.bytes();
    boolean wide = extent.precision().compute() == DType.FLOAT32;
    return Footprint.of(extent.compute(n, intermediate))
        .savingInput(0)
        .inForward(wide ? range : 4 * range)
        .inBackward(0, wide ? range : 6 * range, extent.compute(n, 2L * intermediate));
  }

  @Override
  protected Tensor[] forward(Tensor[] inputs) {
    gateUp = save(inputs[0]);
    Tensor input = inputs[0];
    int width = (int) input.size(1) / 2;
    Tensor h = Tensor.emptyRows(input.device(), input.dtype(), input.size(0), width, width + room);
    if (Kernels.serve(input)) {
      GatedKernels.GEGLU.forward(h, input);
      return new Tensor[] {h};
    }
    forEachRange(
        input,
        (range, tanh) -> {
          try (Rows to = Rows.writing(h, range.begin, range.end)) {
            float[] result = new float[width];
            for (long r = range.begin; r < range.end; r++) {
              range.load(r, tanh);
              for (int c = 0; c < width; c++) {
                result[c] = range.gelu[c] * range.row[width + c];
              }
              to.store(r, result);
            }
          }
        });
    return new Tensor[] {h};
  }

  /** {@code dup = dh ⊙ gelu(gate)}; {@code dgate = dh ⊙ up ⊙ gelu'(gate)}. */
  @Override
  protected void backward(Tensor[] gradOutputs, Gradients gradients) {
    Tensor dh = gradOutputs[0];
    Tensor result = Tensor.empty(gateUp.device(), gateUp.dtype(), gateUp.shape());
    if (Kernels.serve(gateUp)) {
      GatedKernels.GEGLU.backward(result, dh, gateUp);
      gradients.add(0, result);
      return;
    }
    int width = (int) dh.size(1);
    forEachRange(
        gateUp,
        (range, tanh) -> {
          try (Rows from = Rows.reading(dh, range.begin, range.end);
              Rows to = Rows.writing(result, range.begin, range.end)) {
            float[] gradient = new float[width];
            float[] both = new float[2 * width];
            for (long r = range.begin; r < range.end; r++) {
              range.load(r, tanh);
              from.load(r, gradient);
              for (int c = 0; c < width; c++) {
                both[c] = gradient[c] * range.row[width + c];
                both[width + c] = gradient[c] * range.gelu[c];
              }
              gateUp.dtype().round(both, 0, width);
              for (int c = 0; c < width; c++) {
                both[c] *= range.slope(c);
              }
              to.store(r, both);
            }
          }
        });
    gradients.add(0, result);
  }

  private interface Work {
    /**
     * @param tanh of u, {@code [rows, intermediate]}
     */
    void run(Range range, FloatBuffer tanh);
  }

  private static void forEachRange(Tensor gateUp, Work work) {
    int width = (int) gateUp.size(1) / 2;
    Parallel.forRanges(
        gateUp.size(0),
        Rows.grain(2L * width),
        (begin, end) -> {
          try (Scope scope = new Scope()) {
            Tensor tanh = scope.empty(gateUp.device(), DType.FLOAT32, end - begin, width);
            Rows rows = scope.own(Rows.reading(gateUp, begin, end));
            Range range =
                new Range(
                    begin,
                    end,
                    rows,
                    gateUp.dtype(),
                    new float[2 * width],
                    new float[width],
                    new float[width]);
            FloatBuffer values = tanh.floats();
            for (long r = begin; r < end; r++) {
              range.putArguments(r, values);
            }
            Ops.tanh(tanh, tanh);
            work.run(range, values);
          }
        });
  }

  /**
   * Some rows of gate and up.
   *
   * @param dtype of the values
   * @param row the one loaded last
   * @param tanh its tanh u
   * @param gelu its gelu(gate), rounded
   */
  private record Range(
      long begin, long end, Rows rows, DType dtype, float[] row, float[] tanh, float[] gelu) {
    /** Writes a row's u where its tanh will be. */
    void putArguments(long r, FloatBuffer to) {
      rows.load(r, row);
      for (int c = 0; c < tanh.length; c++) {
        float x = row[c];
        tanh[c] = BETA * (x + KAPPA * (x * x * x));
      }
      to.put((int) (r - begin) * tanh.length, tanh);
    }

    void load(long r, FloatBuffer from) {
      rows.load(r, row);
      from.get((int) (r - begin) * tanh.length, tanh);
      for (int c = 0; c < gelu.length; c++) {
        gelu[c] = 0.5f * row[c] * (1 + tanh[c]);
      }
      dtype.round(gelu, 0, gelu.length);
    }

    /** The derivative, {@code (1 + tanh u)/2 + x/2·(1 − tanh² u)·u'}. */
    float slope(int c) {
      float x = row[c];
      float inner = BETA * (1 + 3 * KAPPA * x * x);
      return 0.5f * (1 + tanh[c]) + 0.5f * x * (1 - tanh[c] * tanh[c]) * inner;
    }
  }
}
