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
import ai.nibble.tensor.TensorMemory;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** How composed kernels divide their work, and that what they make on the way is bounded. */
class PartsTest {
  private static final int ROWS = 1500;
  private static final int WIDTH = 2048;
  private static final int ELEMENTS = ROWS * WIDTH;

  private final Scope scope = new Scope();

  @AfterEach
  void close() {
    scope.close();
  }

  @Test
  void partsCoverAllRowsAndBlocksOnce() {
    List<String> parts = new ArrayList<>();
    Parts.ofLightRows(5, 4 * Parts.ELEMENTS, (at, begin, count) -> parts.add(begin + "+" + count));
    assertEquals(List.of("0+1", "1+1", "2+1", "3+1", "4+1"), parts);
    parts.clear();
    long wide = Parts.ELEMENTS / 2;
    Parts.ofRows(5, wide, (at, begin, count) -> parts.add(begin + "+" + count));
    Parts.ofRows(2, 3 * Parts.ELEMENTS, (at, begin, count) -> parts.add(begin + "+" + count));
    Parts.ofRows(0, 7, (at, begin, count) -> parts.add("none"));
    assertEquals(List.of("0+2", "2+2", "4+1", "0+1", "1+1"), parts);
    parts.clear();
    Parts.Blocks blocks = (at, begin, count, width) -> parts.add(begin + ":" + count + "x" + width);
    Parts.ofBlocks(3, 64, blocks);
    Parts.ofBlocks(128, 64, blocks);
    Parts.ofBlocks(Parts.ELEMENTS + 65, 64, blocks);
    long whole = Parts.ELEMENTS / 64;
    assertEquals(
        List.of(
            "0:1x3",
            "0:2x64",
            "0:" + whole + "x64",
            Parts.ELEMENTS + ":1x64",
            Parts.ELEMENTS + 64 + ":1x1"),
        parts);
  }

  private Tensor tensor(DType dtype, long... shape) {
    return scope.own(Tensor.zeros(dtype, shape));
  }

  private Tensor bf16(long... shape) {
    return tensor(DType.BFLOAT16, shape);
  }

  private Tensor f32(long... shape) {
    return tensor(DType.FLOAT32, shape);
  }

  /** Kernels of each family on a matrix of more than one part. */
  private Map<String, Runnable> kernels() {
    Map<String, Runnable> all = new LinkedHashMap<>();
    Tensor x = bf16(ROWS, WIDTH);
    Tensor w = f32(WIDTH);
    NormRule rule = NormRule.rounded(1e-5);
    all.put("rms_norm", () -> RmsNormKernels.forward(x, x, w, rule));
    all.put("rms_norm_backward", () -> RmsNormKernels.backward(x, x, x, w, x, rule));
    all.put("weight_gradient", () -> RmsNormKernels.weightGradient(w, x, x, rule));
    Tensor head = f32(64);
    HeadNormKernels.Heads heads = new HeadNormKernels.Heads(head, head, 16, 8, rule);
    all.put("head_norm", () -> HeadNormKernels.backward(x, x, x, x, heads));
    all.put("swiglu", () -> GatedKernels.SWIGLU.backward(x, bf16(ROWS, WIDTH / 2), x));
    all.put("geglu", () -> GatedKernels.GEGLU.backward(x, bf16(ROWS, WIDTH / 2), x));
    Tensor positions = tensor(DType.INT32, ROWS);
    Tensor angles = f32(1, 32);
    all.put("rotary", () -> RotaryKernels.rotate(x, x, positions, angles, angles, 16, 8));
    all.put("dropout", () -> LoraKernels.dropout(x, x, 1, 0.5));
    all.put("input_gradient", () -> LoraKernels.inputGradient(x, x, x, x, 1, 0.5));
    all.put("cross_entropy", () -> entropy(x));
    all.put("add", () -> ElementwiseKernels.add(x, x, x));
    all.put("add_noise", () -> ElementwiseKernels.addNoise(x, f32(ROWS), 1));
    all.put("sum_groups", () -> ElementwiseKernels.sumGroups(bf16(ROWS / 4, WIDTH), x, 4));
    Tensor starts = tensor(DType.INT32, 9);
    Tensor table = f32(8, WIDTH);
    all.put(
        "embedding", () -> ElementwiseKernels.embeddingGradient(table, x, positions, starts, 1));
    all.put("weigh", () -> weigh(x, positions));
    all.put("choose", () -> choose());
    addOptimizers(all);
    addQuantised(all, x);
    addAttention(all);
    return all;
  }

  private void entropy(Tensor logits) {
    CrossEntropyKernels.forwardCapped(f32(ROWS), logits, tensor(DType.INT32, ROWS), 1, true, 30);
  }

  private void weigh(Tensor x, Tensor tokens) {
    Tensor weights = f32(ROWS, 1);
    ExpertKernels.weigh(x, weights, x, x, weights, tokens, tokens);
  }

  private void choose() {
    Tensor p = f32(20_000, 128);
    Tensor weights = f32(20_000, 8);
    Tensor experts = tensor(DType.INT32, 20_000, 8);
    ExpertKernels.choose(experts, weights, p, true);
    ExpertKernels.chooseBackward(f32(20_000, 128), weights, experts, p, true);
  }

  private void addOptimizers(Map<String, Runnable> all) {
    Tensor p = f32(ELEMENTS);
    Tensor factor = f32(2);
    AdamWConstants constants = new AdamWConstants(1, 0.1f, 0.9f, 0.1f, 1, 1e-8f, -0.1f);
    all.put("adamw", () -> OptimizerKernels.adamW(p, p, p, p, factor, constants));
    all.put("squares", () -> OptimizerKernels.sumOfSquares(tensor(DType.FLOAT64, 1), p));
    AdamW8Kernels.Moment moment =
        new AdamW8Kernels.Moment(
            tensor(DType.UINT8, ELEMENTS), f32((ELEMENTS + 255) / 256), f32(256));
    all.put("adamw8", () -> AdamW8Kernels.update(p, p, moment, moment, factor, constants));
  }

  private void addQuantised(Map<String, Runnable> all, Tensor x) {
    addWeights(all);
    Tensor packed = tensor(DType.UINT8, ELEMENTS / 2);
    Tensor bytes = tensor(DType.UINT8, ELEMENTS / 64);
    Tensor absmax = f32(ELEMENTS / 64);
    all.put("quantize4", () -> Quantize4Kernels.quantize(Code4.NF4, 64, x, packed, absmax));
    Tensor q = tensor(DType.INT8, ROWS, WIDTH);
    Tensor outliers = tensor(DType.UINT8, WIDTH);
    all.put("int8", () -> Int8Kernels.quantize(x, q, f32(ROWS), outliers, 6));
    all.put("int8_dequantize", () -> Int8Kernels.dequantize(q, f32(ROWS), x));
  }

  /** Those that take more elements at a time. */
  private void addWeights(Map<String, Runnable> all) {
    int rows = 3 * ROWS;
    int n = rows * WIDTH;
    Tensor w = bf16(rows, WIDTH);
    Tensor packed = tensor(DType.UINT8, n / 2);
    Tensor bytes = tensor(DType.UINT8, n / 64);
    NestedTables tables = new NestedTables(f32((n / 64 + 255) / 256), f32(256), 0);
    Weight4 weight = new Weight4(Code4.NF4, 64, n, packed, bytes, tables);
    all.put("dequantize4", () -> weight.dequantize(w, 0));
    all.put("product4", () -> weight.multiply(bf16(8, rows), bf16(8, WIDTH)));
    Tensor columns = tensor(DType.INT32, WIDTH);
    GroupedKernels.Codes4 codes4 =
        new GroupedKernels.Codes4(packed, 64, f32(n / 64), bytes, 0, columns);
    all.put("grouped4", () -> GroupedKernels.dequantize(w, codes4));
    Tensor codes = tensor(DType.UINT8, rows, WIDTH);
    Tensor zeros = tensor(DType.UINT8, rows, 16);
    GroupedKernels.Codes8 codes8 = new GroupedKernels.Codes8(codes, f32(rows, 16), zeros, columns);
    all.put("grouped8", () -> GroupedKernels.dequantize(w, codes8));
  }

  private void addAttention(Map<String, Runnable> all) {
    CachedAttentionKernels.Scores scores = new CachedAttentionKernels.Scores(1, 0, 30);
    Tensor cache = bf16(8, 3000, 128);
    Tensor q = bf16(32, 128);
    all.put(
        "cached_attention", () -> CachedAttentionKernels.attend(q, q, cache, cache, 3000, scores));
    Tensor products = bf16(2, 1536, 1000);
    Tensor starts = scope.own(Tensor.ofInts(Device.CPU, new int[] {0, 1000}));
    ScoreKernels.Sequences sequences = new ScoreKernels.Sequences(starts, starts, 2, 1000, scores);
    Tensor statistics = f32(2, 2000, 2);
    all.put("scores", () -> ScoreKernels.forward(products, statistics, 0, 0, sequences));
    all.put(
        "scores_backward",
        () -> ScoreKernels.backward(products, bf16(2, 1536, 1000), statistics, 0, 0, sequences));
  }

  /** The plan of a GPU without NVRTC counts so much beside the tensors. */
  @Test
  void whatIsMadeOnTheWayIsBounded() {
    Map<String, Runnable> kernels = kernels();
    long most = 0;
    try (KernelLaunchers.Installation composed = KernelForm.COMPOSED.install()) {
      assertNotNull(composed);
      for (Map.Entry<String, Runnable> kernel : kernels.entrySet()) {
        TensorMemory.forgetPeak(Device.CPU);
        long before = TensorMemory.heldBytes(Device.CPU);
        kernel.getValue().run();
        long made = TensorMemory.peakBytes(Device.CPU) - before;
        most = Math.max(most, made);
        assertTrue(made <= Parts.MOST_BYTES, kernel.getKey() + " makes " + made + " bytes");
      }
    }
    assertTrue(most > Parts.MOST_BYTES / 2, "the bound is far from the " + most + " bytes made");
  }
}
