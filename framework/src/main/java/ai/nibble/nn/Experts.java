package ai.nibble.nn;

import ai.nibble.autograd.Earlier;
import ai.nibble.autograd.Function;
import ai.nibble.autograd.Gradients;
import ai.nibble.autograd.Recall;
import ai.nibble.autograd.Tape;
import ai.nibble.autograd.Variable;
import ai.nibble.cuda.ExpertKernels;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Device;
import ai.nibble.tensor.Ops;
import ai.nibble.tensor.Parallel;
import ai.nibble.tensor.Rows;
import ai.nibble.tensor.Tensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;

/**
 * Takes tokens to the experts that a {@link Router} chose, and adds up what comes back: an expert
 * is computed for its own tokens alone, and not at all where it has none.
 */
public final class Experts {
  /** One expert on a tape. */
  @FunctionalInterface
  public interface Expert {
    /**
     * Computes an expert.
     *
     * @param index of the expert
     * @param x its tokens, {@code [n, hidden]}; given up by the caller
     * @return {@code [n, hidden]}
     */
    Variable apply(int index, Variable x);
  }

  private Experts() {}

  /**
   * Computes a layer of experts.
   *
   * @param x {@code [N, hidden]}
   * @param logits of the router, {@code [N, E]}
   * @param router used once
   * @param combine puts the sum on the tape, told what of it may be left out
   * @return {@code [N, hidden]}
   */
  public static Variable apply(
      Tape tape, Variable x, Variable logits, Router router, Expert expert, Combining combine) {
    List<Variable> inputs = new ArrayList<>();
    try {
      inputs.add(tape.apply(router, logits));
      Routing routing = router.routing();
      boolean kernels = Kernels.serve(x.value());
      try (Tensor places = kernels ? routing.onDevice(x.value().device()) : null) {
        List<Variable> parts = tape.applyAll(new Dispatch(routing, places), x);
        for (int i = 0; i < parts.size(); i++) {
          try (Variable part = parts.get(i)) {
            inputs.add(expert.apply(routing.used().get(i), part));
          }
        }
        Variable[] all = inputs.toArray(Variable[]::new);
        return combine.run(earlier -> tape.apply(new Combine(routing, places, earlier), all));
      }
    } finally {
      inputs.forEach(Variable::close);
    }
  }

  /** How a step is taken: see {@link Recall}. */
  @FunctionalInterface
  public interface Combining {
    Variable run(Recall.Step step);
  }

  /** Copies of the tokens; backward holds their gradients, without kernels in float32. */
  public static Footprint dispatchFootprint(Extent extent, int hidden, int perToken) {
    long n = extent.tokens();
    if (extent.kernels()) {
      long rows = extent.compute(n * perToken, hidden);
      return Footprint.of(rows)
          .saving(extent.bytes(DType.INT32, 3, n * perToken))
          .inBackward(0, rows, extent.compute(n, hidden));
    }
    return Footprint.of(extent.compute(n * perToken, hidden))
        .inBackward(
            0,
            extent.bytes(DType.FLOAT32, n * perToken, hidden) + extent.windows(2, n, hidden),
            extent.compute(n, hidden));
  }

  /** The sum; its inputs are kept, and there are copies of them, without kernels in float32. */
  public static Footprint combineFootprint(Extent extent, int hidden, int perToken) {
    long n = extent.tokens();
    if (extent.kernels()) {
      long rows = extent.compute(n * perToken, hidden);
      return Footprint.of(extent.compute(n, hidden))
          .savingInput(extent.bytes(DType.FLOAT32, n, perToken))
          .inForward(rows)
          .inBackward(extent.bytes(DType.FLOAT32, n, perToken), 0, rows);
    }
    long copies = extent.bytes(DType.FLOAT32, n * perToken, hidden);
    long wide =
        extent.precision().compute() == DType.FLOAT32 ? 0 : extent.bytes(DType.FLOAT32, n, hidden);
    return Footprint.of(extent.compute(n, hidden))
        .savingInput(extent.bytes(DType.FLOAT32, n, perToken))
        .inForward(copies + extent.windows(1, n, hidden))
        .inBackward(wide, wide, extent.compute(n * perToken, hidden));
  }

  /**
   * All rows, {@code [N·k, hidden]}, out of one tensor an expert.
   *
   * @param parts from {@code first} on; null for zeros, but not all
   */
  private static Tensor together(
      Routing routing, Tensor[] parts, int first, long hidden, DType dtype) {
    Device device =
        Arrays.stream(parts).skip(first).filter(Objects::nonNull).findFirst().get().device();
    Tensor all = Tensor.empty(device, dtype, routing.tokens().length, hidden);
    try {
      for (int i = 0; i < routing.used().size(); i++) {
        int begin = routing.starts()[i];
        try (Tensor to = all.narrow(0, begin, routing.starts()[i + 1] - (long) begin)) {
          if (parts[first + i] == null) {
            to.zero();
          } else {
            to.copyFrom(parts[first + i]);
          }
        }
      }
      return all;
    } catch (RuntimeException e) {
      all.close();
      throw e;
    }
  }

  /** From {@code [N, hidden]} to each used expert's tokens. */
  private static final class Dispatch extends Function {
    private final Routing routing;
    private final Tensor places;
    private long tokens;
    private long hidden;
    private DType dtype;

    /**
     * @param places as {@link Routing#onDevice} gives them; null without kernels
     */
    Dispatch(Routing routing, Tensor places) {
      this.routing = routing;
      this.places = places == null ? null : keep(places.share());
    }

    @Override
    protected Tensor[] forward(Tensor[] inputs) {
      Tensor x = inputs[0];
      tokens = x.size(0);
      hidden = x.size(1);
      dtype = x.dtype();
      if (places != null) {
        return gathered(x);
      }
      Tensor[] parts = new Tensor[routing.used().size()];
      for (int i = 0; i < parts.length; i++) {
        int begin = routing.starts()[i];
        int count = routing.starts()[i + 1] - begin;
        int[] rows = Arrays.copyOfRange(routing.tokens(), begin, begin + count);
        parts[i] = Tensor.empty(x.device(), dtype, count, hidden);
        try (Tensor index = Tensor.ofIndices(x.device(), rows)) {
          Ops.indexSelect(parts[i], x, index);
        }
      }
      return parts;
    }

    private Tensor[] gathered(Tensor x) {
      Tensor[] parts = new Tensor[routing.used().size()];
      try (Tensor all = Tensor.empty(x.device(), dtype, routing.tokens().length, hidden);
          Tensor tokenOf = row(places, 1)) {
        ExpertKernels.gather(all, x, tokenOf);
        for (int i = 0; i < parts.length; i++) {
          int begin = routing.starts()[i];
          parts[i] = all.narrow(0, begin, routing.starts()[i + 1] - (long) begin);
        }
        return parts;
      }
    }

    /** A token's gradient is the sum of those of its copies, in the order of the experts. */
    @Override
    protected void backward(Tensor[] gradOutputs, Gradients gradients) {
      int k = routing.perToken();
      DType summed = places == null ? DType.FLOAT32 : dtype;
      try (Tensor all = together(routing, gradOutputs, 0, hidden, summed);
          Tensor before = gradients.take(0)) {
        Tensor dx = Tensor.empty(all.device(), dtype, tokens, hidden);
        if (places != null) {
          try (Tensor rowOf = row(places, 0)) {
            ExpertKernels.sum(dx, all, null, rowOf, before);
          }
          gradients.add(0, dx);
          return;
        }
        Parallel.forRanges(
            tokens,
            Rows.grain(hidden),
            (begin, end) -> {
              try (Rows from = Rows.reading(all, 0, all.size(0));
                  Rows prior = before == null ? null : Rows.reading(before, begin, end);
                  Rows to = Rows.writing(dx, begin, end)) {
                float[] sum = new float[(int) hidden];
                float[] row = new float[(int) hidden];
                for (long t = begin; t < end; t++) {
                  Arrays.fill(sum, 0);
                  for (int j = 0; j < k; j++) {
                    from.load(routing.rows()[(int) t * k + j], row);
                    add(sum, row, 1);
                  }
                  if (prior != null) {
                    prior.load(t, row);
                    add(sum, row, 1);
                  }
                  to.store(t, sum);
                }
              }
            });
        gradients.add(0, dx);
      }
    }
  }

  /** One row of {@link Routing#onDevice}; the caller closes it. */
  private static Tensor row(Tensor places, int index) {
    try (Tensor one = places.narrow(0, index, 1)) {
      return one.view(places.size(1));
    }
  }

  private static void add(float[] sum, float[] row, float factor) {
    for (int c = 0; c < sum.length; c++) {
      sum[c] += factor * row[c];
    }
  }

  /** The weighted sum of what the experts gave: inputs are weights and one tensor an expert. */
  private static final class Combine extends Function {
    private final Routing routing;
    private final Tensor places;
    private final Earlier earlier;
    private Tensor[] saved;

    /**
     * @param places as in {@link Dispatch}
     */
    Combine(Routing routing, Tensor places, Earlier earlier) {
      this.routing = routing;
      this.places = places == null ? null : keep(places.share());
      this.earlier = earlier;
    }

    @Override
    protected Tensor[] forward(Tensor[] inputs) {
      saved = new Tensor[inputs.length];
      for (int i = 0; i < inputs.length; i++) {
        saved[i] = save(inputs[i]);
      }
      long n = inputs[0].size(0);
      long hidden = inputs[1].size(1);
      DType dtype = inputs[1].dtype();
      Tensor known = earlier.output(inputs[0].device(), dtype, n, hidden);
      if (known != null) {
        return new Tensor[] {known};
      }
      Tensor output = Tensor.empty(inputs[0].device(), dtype, n, hidden);
      DType read = places == null ? DType.FLOAT32 : dtype;
      try (Tensor all = together(routing, inputs, 1, hidden, read)) {
        if (places != null) {
          try (Tensor rowOf = row(places, 0)) {
            ExpertKernels.sum(output, all, inputs[0], rowOf, null);
          }
          return new Tensor[] {output};
        }
        Parallel.forRanges(
            n, Rows.grain(hidden), (begin, end) -> sum(output, inputs[0], all, begin, end));
      } catch (RuntimeException e) {
        output.close();
        throw e;
      }
      return new Tensor[] {output};
    }

    private void sum(Tensor output, Tensor weights, Tensor all, long begin, long end) {
      int k = routing.perToken();
      try (Rows from = Rows.reading(all, 0, all.size(0));
          Rows factors = Rows.reading(weights, begin, end);
          Rows to = Rows.writing(output, begin, end)) {
        float[] sum = new float[(int) output.size(1)];
        float[] row = new float[sum.length];
        float[] w = new float[k];
        for (long t = begin; t < end; t++) {
          factors.load(t, w);
          Arrays.fill(sum, 0);
          for (int j = 0; j < k; j++) {
            from.load(routing.rows()[(int) t * k + j], row);
            add(sum, row, w[j]);
          }
          to.store(t, sum);
        }
      }
    }

    /** {@code dy = w·dz} of each row and {@code dw = dz·y}, z the output of its token. */
    @Override
    protected void backward(Tensor[] gradOutputs, Gradients gradients) {
      if (places != null) {
        backwardByKernels(gradOutputs[0], gradients);
        return;
      }
      boolean wide = gradOutputs[0].dtype() == DType.FLOAT32;
      int k = routing.perToken();
      Tensor weights = saved[0];
      float[] w = weights.toFloats();
      float[] dw = new float[w.length];
      int[] pairs = new int[w.length];
      for (int i = 0; i < w.length; i++) {
        pairs[routing.rows()[i]] = i;
      }
      try (Tensor dz = wide ? gradOutputs[0].share() : gradOutputs[0].to(DType.FLOAT32)) {
        for (int i = 0; i < routing.used().size(); i++) {
          Tensor y = saved[1 + i];
          Tensor dy = Tensor.empty(y.device(), y.dtype(), y.shape());
          int first = routing.starts()[i];
          Parallel.forRanges(
              y.size(0),
              Rows.grain(y.size(1)),
              (begin, end) -> {
                try (Rows grads = Rows.reading(dz, 0, dz.size(0));
                    Rows given = Rows.reading(y, begin, end);
                    Rows to = Rows.writing(dy, begin, end)) {
                  float[] g = new float[given.width()];
                  float[] v = new float[given.width()];
                  for (long r = begin; r < end; r++) {
                    int row = first + (int) r;
                    grads.load(routing.tokens()[row], g);
                    given.load(r, v);
                    float sum = 0;
                    for (int c = 0; c < g.length; c++) {
                      sum += g[c] * v[c];
                      g[c] *= w[pairs[row]];
                    }
                    dw[pairs[row]] = sum;
                    to.store(r, g);
                  }
                }
              });
          gradients.add(1 + i, dy);
        }
      }
      gradients.add(0, Tensor.of(gradOutputs[0].device(), dw, w.length / (long) k, k));
    }

    private void backwardByKernels(Tensor dz, Gradients gradients) {
      try (Tensor dWeights = Tensor.empty(dz.device(), DType.FLOAT32, saved[0].shape());
          Tensor tokenOf = row(places, 1);
          Tensor pairOf = row(places, 2)) {
        for (int i = 0; i < routing.used().size(); i++) {
          int begin = routing.starts()[i];
          long count = routing.starts()[i + 1] - (long) begin;
          Tensor y = saved[1 + i];
          Tensor dy = Tensor.empty(y.device(), y.dtype(), y.shape());
          try (Tensor tokens = tokenOf.narrow(0, begin, count);
              Tensor pairs = pairOf.narrow(0, begin, count)) {
            ExpertKernels.weigh(dy, dWeights, dz, y, saved[0], tokens, pairs);
          }
          gradients.add(1 + i, dy);
        }
        gradients.add(0, dWeights.share());
      }
    }
  }
}
