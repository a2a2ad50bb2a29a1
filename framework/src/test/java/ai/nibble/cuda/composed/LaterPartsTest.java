package ai.nibble.cuda.composed;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.cuda.AdamW8Kernels;
import ai.nibble.cuda.AdamWConstants;
import ai.nibble.cuda.CachedAttentionKernels;
import ai.nibble.cuda.Code4;
import ai.nibble.cuda.CrossEntropyKernels;
import ai.nibble.cuda.ElementwiseKernels;
import ai.nibble.cuda.ExpertKernels;
import ai.nibble.cuda.GatedKernels;
import ai.nibble.cuda.GroupedKernels;
import ai.nibble.cuda.HeadNormKernels;
import ai.nibble.cuda.Int8Kernels;
import ai.nibble.cuda.LoraKernels;
import ai.nibble.cuda.NestedTables;
import ai.nibble.cuda.NormRule;
import ai.nibble.cuda.OptimizerKernels;
import ai.nibble.cuda.Quantize4Kernels;
import ai.nibble.cuda.RmsNormKernels;
import ai.nibble.cuda.RotaryKernels;
import ai.nibble.cuda.ScoreKernels;
import ai.nibble.cuda.Weight4;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Device;
import ai.nibble.tensor.KernelForm;
import ai.nibble.tensor.KernelLaunchers;
import ai.nibble.tensor.Scope;
import ai.nibble.tensor.Tensor;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import java.util.stream.IntStream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * What a composed kernel does in the parts behind its first, as the compiled one has it: the
 * kernels' own tests are of fewer elements than a part.
 */
class LaterPartsTest {
  /** Two parts, the second one short. */
  private static final int ROWS = 1100;

  private static final int WIDTH = 2048;

  /** The same of kernels that take four times as many elements at a time. */
  private static final int LIGHT_ROWS = 4200;

  private static final NormRule RULE = NormRule.rounded(1e-5);
  private static final Map<String, Consumer<Operands>> KERNELS = kernels();

  /** Tensors of a kernel, the same ones each time. */
  private static final class Operands implements AutoCloseable {
    private final Scope scope = new Scope();
    private final List<Tensor> all = new ArrayList<>();

    private Tensor made(Tensor tensor) {
      all.add(scope.own(tensor));
      return tensor;
    }

    /** Whole numbers from 0 to 508, rows of which differ; other tensors have others. */
    private int[] pattern(int n) {
      int first = all.size() * 61;
      return IntStream.range(0, n).map(i -> (int) ((7919L * i + first) % 509)).toArray();
    }

    private Tensor of(DType dtype, double zero, double unit, long... shape) {
      int[] pattern = pattern((int) numel(shape));
      float[] values = new float[pattern.length];
      for (int i = 0; i < values.length; i++) {
        values[i] = (float) ((pattern[i] - zero) / unit);
      }
      try (Tensor wide = Tensor.of(values, shape)) {
        return made(wide.to(dtype));
      }
    }

    private static long numel(long... shape) {
      long n = 1;
      for (long size : shape) {
        n *= size;
      }
      return n;
    }

    /** From −4 to 4. */
    Tensor bf16(long... shape) {
      return of(DType.BFLOAT16, 254, 64, shape);
    }

    Tensor f32(long... shape) {
      return of(DType.FLOAT32, 254, 64, shape);
    }

    /** From 1/128 to 4. */
    Tensor positive(long... shape) {
      return of(DType.FLOAT32, -1, 128, shape);
    }

    Tensor bytes(long... shape) {
      return of(DType.UINT8, 0, 2, shape);
    }

    Tensor signedBytes(long... shape) {
      return of(DType.INT8, 254, 2, shape);
    }

    Tensor number(DType dtype) {
      return made(Tensor.zeros(dtype, 1));
    }

    Tensor values(float... values) {
      return made(Tensor.of(values, values.length));
    }

    Tensor ints(IntStream values) {
      return made(Tensor.ofInts(Device.CPU, values.toArray()));
    }

    Tensor intsBelow(int limit, int n) {
      int[] pattern = pattern(n);
      return ints(IntStream.of(pattern).map(i -> i % limit));
    }

    /** Each of the first n numbers once. */
    Tensor places(int n) {
      return ints(IntStream.range(0, n).map(i -> (int) (i * 7919L % n)));
    }

    @Override
    public void close() {
      scope.close();
    }
  }

  private static Map<String, Consumer<Operands>> kernels() {
    Map<String, Consumer<Operands>> all = new LinkedHashMap<>();
    addNorms(all);
    addGates(all);
    addElementwise(all);
    addLora(all);
    addExperts(all);
    addOptimizers(all);
    addWeights(all);
    addInt8(all);
    addAttention(all);
    return all;
  }

  private static Tensor x(Operands of) {
    return of.bf16(ROWS, WIDTH);
  }

  private static void addNorms(Map<String, Consumer<Operands>> all) {
    all.put("rms_norm_forward", o -> RmsNormKernels.forward(x(o), x(o), o.f32(WIDTH), RULE));
    all.put(
        "rms_norm_backward",
        o -> RmsNormKernels.backward(x(o), x(o), x(o), o.f32(WIDTH), x(o), RULE));
    all.put(
        "normed_column_sums", o -> RmsNormKernels.weightGradient(o.f32(WIDTH), x(o), x(o), RULE));
    all.put("head_norm_forward", o -> HeadNormKernels.forward(x(o), x(o), heads(o)));
    all.put("head_norm_backward", o -> HeadNormKernels.backward(x(o), x(o), x(o), x(o), heads(o)));
  }

  private static HeadNormKernels.Heads heads(Operands o) {
    return new HeadNormKernels.Heads(o.f32(64), o.f32(64), 16, 8, RULE);
  }

  private static void addGates(Map<String, Consumer<Operands>> all) {
    for (GatedKernels gate : List.of(GatedKernels.SWIGLU, GatedKernels.GEGLU)) {
      String name = gate == GatedKernels.SWIGLU ? "swiglu" : "geglu";
      all.put(name + "_forward", o -> gate.forward(o.bf16(ROWS, WIDTH / 2), x(o)));
      all.put(name + "_backward", o -> gate.backward(x(o), o.bf16(ROWS, WIDTH / 2), x(o)));
    }
    all.put(
        "rotary_rotate",
        o ->
            RotaryKernels.rotate(
                x(o), x(o), o.intsBelow(7, ROWS), o.f32(7, 32), o.f32(7, 32), 16, 8));
    all.put(
        "rotary_gradient",
        o ->
            RotaryKernels.gradient(
                x(o),
                o.bf16(ROWS, 16, 64),
                o.bf16(ROWS, 8, 64),
                o.bf16(ROWS, 8, 64),
                o.intsBelow(7, ROWS),
                o.f32(7, 32),
                o.f32(7, 32)));
    all.put(
        "cross_entropy",
        o -> CrossEntropyKernels.forward(o.f32(ROWS), x(o), o.intsBelow(WIDTH, ROWS), 3, true));
    all.put(
        "capped_cross_entropy",
        o ->
            CrossEntropyKernels.forwardCapped(
                o.f32(ROWS), x(o), o.intsBelow(WIDTH, ROWS), 3, true, 3));
  }

  private static void addElementwise(Map<String, Consumer<Operands>> all) {
    all.put("add", o -> ElementwiseKernels.add(x(o), x(o), x(o)));
    all.put("scale", o -> ElementwiseKernels.scale(x(o), 0.3));
    all.put("add_bias", o -> ElementwiseKernels.addBias(x(o), o.f32(WIDTH)));
    all.put("add_noise", o -> ElementwiseKernels.addNoise(x(o), o.positive(ROWS), 77));
    all.put("add_scaled", o -> ElementwiseKernels.addScaled(o.f32(ROWS, WIDTH), x(o), WIDTH, 0.3));
    all.put(
        "scatter_rows",
        o -> {
          int[] even = IntStream.range(0, ROWS / 2).map(i -> 2 * i).toArray();
          Tensor index = o.made(Tensor.ofIndices(even));
          ElementwiseKernels.scatterRows(x(o), o.bf16(ROWS / 2, WIDTH), index);
        });
    all.put(
        "embedding_gradient",
        o -> {
          int[] starts = {0, 0, 300, 301, 302, 700, 700, 1000, ROWS, ROWS};
          ElementwiseKernels.embeddingGradient(
              o.f32(9, WIDTH), x(o), o.places(ROWS), o.ints(IntStream.of(starts)), 0.3);
        });
    all.put("sum_groups", o -> ElementwiseKernels.sumGroups(o.bf16(ROWS / 4, WIDTH), x(o), 4));
    all.put("column_sums", o -> ElementwiseKernels.columnSums(o.f32(WIDTH), x(o), WIDTH, 0));
  }

  private static void addLora(Map<String, Consumer<Operands>> all) {
    all.put("lora_dropout", o -> LoraKernels.dropout(x(o), x(o), 77, 0.3));
    all.put("lora_input_gradient", o -> LoraKernels.inputGradient(x(o), x(o), x(o), x(o), 77, 0.3));
  }

  private static void addExperts(Map<String, Consumer<Operands>> all) {
    int tokens = 17_000;
    int experts = 128;
    all.put(
        "experts_choose",
        o -> {
          Tensor chosen = o.intsBelow(8, tokens * 8).view(tokens, 8);
          o.made(chosen);
          ExpertKernels.choose(chosen, o.f32(tokens, 8), o.positive(tokens, experts), true);
        });
    all.put(
        "experts_choose_backward",
        o -> {
          IntStream ids = IntStream.range(0, tokens * 8).map(i -> i % 8 * 16 + i / 8 % 16);
          Tensor chosen = o.made(o.ints(ids).view(tokens, 8));
          ExpertKernels.chooseBackward(
              o.f32(tokens, experts), o.f32(tokens, 8), chosen, o.positive(tokens, experts), true);
        });
    all.put(
        "experts_gather",
        o -> ExpertKernels.gather(x(o), o.bf16(300, WIDTH), o.intsBelow(300, ROWS)));
    all.put(
        "experts_sum",
        o ->
            ExpertKernels.sum(
                x(o), o.bf16(2 * ROWS, WIDTH), o.f32(ROWS, 2), o.places(2 * ROWS), x(o)));
    all.put(
        "experts_weigh",
        o ->
            ExpertKernels.weigh(
                x(o), o.f32(ROWS, 1), x(o), x(o), o.f32(ROWS, 1), o.places(ROWS), o.places(ROWS)));
  }

  private static void addOptimizers(Map<String, Consumer<Operands>> all) {
    int n = ROWS * WIDTH + 3;
    AdamWConstants constants = new AdamWConstants(0.9f, 0.1f, 0.9f, 0.1f, 1, 1e-3f, -0.1f);
    all.put("optimizer_add", o -> OptimizerKernels.add(o.f32(n), o.f32(n)));
    all.put(
        "sum_of_squares", o -> OptimizerKernels.sumOfSquares(o.number(DType.FLOAT64), o.f32(n)));
    all.put(
        "adamw",
        o ->
            OptimizerKernels.adamW(
                o.f32(n), o.f32(n), o.f32(n), o.positive(n), o.values(0.5f, 1), constants));
    all.put(
        "adamw8",
        o ->
            AdamW8Kernels.update(
                o.f32(n),
                o.f32(n),
                moment(o, n, 128),
                moment(o, n, 0),
                o.values(0.5f, 1),
                constants));
  }

  private static AdamW8Kernels.Moment moment(Operands o, int n, int zero) {
    float[] map = new float[256];
    for (int i = 0; i < map.length; i++) {
      map[i] = (i - zero) / 256f;
    }
    return new AdamW8Kernels.Moment(o.bytes(n), o.positive((n + 255) / 256), o.values(map));
  }

  private static void addWeights(Map<String, Consumer<Operands>> all) {
    int n = LIGHT_ROWS * WIDTH;
    all.put("dequantize4", o -> weight(o, n).dequantize(o.bf16(LIGHT_ROWS, WIDTH), 0));
    all.put("dequantize4 from within", o -> weight(o, n).dequantize(o.bf16(n - 77), 77));
    all.put("product4", o -> weight(o, n).multiply(o.bf16(1, WIDTH), o.bf16(1, LIGHT_ROWS)));
    all.put(
        "grouped4",
        o ->
            GroupedKernels.dequantize(
                o.bf16(LIGHT_ROWS, WIDTH),
                new GroupedKernels.Codes4(
                    o.bytes(n / 2), 64, o.f32(n / 64), o.bytes(n / 64), 0, o.places(WIDTH))));
    all.put(
        "grouped8",
        o ->
            GroupedKernels.dequantize(
                o.bf16(LIGHT_ROWS, WIDTH),
                new GroupedKernels.Codes8(
                    o.bytes(LIGHT_ROWS, WIDTH),
                    o.f32(LIGHT_ROWS, 16),
                    o.bytes(LIGHT_ROWS, 16),
                    o.intsBelow(16, WIDTH))));
    int less = ROWS * WIDTH + 33;
    all.put(
        "quantize4",
        o ->
            Quantize4Kernels.quantize(
                Code4.FP4, 64, o.bf16(less), o.bytes(less / 2 + 1), o.f32(less / 64 + 1)));
  }

  private static Weight4 weight(Operands o, int n) {
    NestedTables tables = new NestedTables(o.f32((n / 64 + 255) / 256), o.f32(256), 0.3f);
    return new Weight4(Code4.NF4, 64, n, o.bytes(n / 2), o.bytes(n / 64), tables);
  }

  private static void addInt8(Map<String, Consumer<Operands>> all) {
    all.put(
        "int8_quantize",
        o ->
            Int8Kernels.quantize(
                x(o), o.signedBytes(ROWS, WIDTH), o.f32(ROWS), o.bytes(WIDTH), 3.95f));
    all.put(
        "int8_dequantize",
        o -> Int8Kernels.dequantize(o.signedBytes(ROWS, WIDTH), o.f32(ROWS), x(o)));
    all.put(
        "int8_recover",
        o -> {
          Tensor sums = o.made(o.intsBelow(509, ROWS * WIDTH).view(ROWS, WIDTH));
          Int8Kernels.recover(sums, o.f32(ROWS), o.f32(WIDTH), x(o));
        });
  }

  private static void addAttention(Map<String, Consumer<Operands>> all) {
    CachedAttentionKernels.Scores rule = new CachedAttentionKernels.Scores(0.01, 0, 30);
    all.put(
        "cached_attention",
        o -> {
          Tensor keys = o.bf16(8, 3000, 128);
          Tensor values = o.bf16(8, 3000, 128);
          CachedAttentionKernels.attend(o.bf16(32, 128), o.bf16(32, 128), keys, values, 3000, rule);
        });
    all.put(
        "scores_forward",
        o -> ScoreKernels.forward(scores(o), o.f32(2, 2000, 2), 5, 0, sequences(o, rule)));
    all.put(
        "scores_backward",
        o ->
            ScoreKernels.backward(
                scores(o), scores(o), o.positive(2, 2000, 2), 5, 0, sequences(o, rule)));
  }

  private static Tensor scores(Operands o) {
    return o.bf16(2, 1800, 1000);
  }

  private static ScoreKernels.Sequences sequences(
      Operands o, CachedAttentionKernels.Scores scores) {
    Tensor starts = o.ints(IntStream.of(0, 400, 1000));
    return new ScoreKernels.Sequences(starts, starts, 2, 1000, scores);
  }

  static List<String> names() {
    return List.copyOf(KERNELS.keySet());
  }

  private static List<float[]> run(KernelForm form, Consumer<Operands> kernel) {
    List<float[]> values = new ArrayList<>();
    try (KernelLaunchers.Installation installed = form.install();
        Operands operands = new Operands()) {
      assertNotNull(installed);
      kernel.accept(operands);
      for (Tensor tensor : operands.all) {
        values.add(tensor.toFloats());
      }
    }
    return values;
  }

  /** Exponentials and sums differ in the last bits of float32: by two units of bfloat16 at most. */
  @ParameterizedTest
  @MethodSource("names")
  void laterPartsAreThoseOfTheCompiledKernel(String name) {
    List<float[]> expected = run(KernelForm.COMPILED, KERNELS.get(name));
    List<float[]> seen = run(KernelForm.COMPOSED, KERNELS.get(name));
    assertEquals(expected.size(), seen.size());
    for (int t = 0; t < seen.size(); t++) {
      float most = 0;
      for (float value : expected.get(t)) {
        most = Math.max(most, Math.abs(value));
      }
      for (int i = 0; i < seen.get(t).length; i++) {
        float wanted = expected.get(t)[i];
        float got = seen.get(t)[i];
        float bound = 0x1p-7f * Math.abs(wanted) + 1e-5f * most;
        if (!(Math.abs(got - wanted) <= bound)) {
          assertEquals(wanted, got, bound, name + ": tensor " + t + ", element " + i);
        }
      }
      assertTrue(Float.isFinite(most), name + ": tensor " + t);
    }
  }
}
