package ai.nibble.bench;

import ai.nibble.cuda.AdamWConstants;
import ai.nibble.cuda.Code4;
import ai.nibble.cuda.CrossEntropyKernels;
import ai.nibble.cuda.ElementwiseKernels;
import ai.nibble.cuda.GatedKernels;
import ai.nibble.cuda.LoraKernels;
import ai.nibble.cuda.NestedTables;
import ai.nibble.cuda.NormRule;
import ai.nibble.cuda.OptimizerKernels;
import ai.nibble.cuda.RmsNormKernels;
import ai.nibble.cuda.RotaryKernels;
import ai.nibble.cuda.Weight4;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Device;
import ai.nibble.tensor.Ops;
import ai.nibble.tensor.Scope;
import ai.nibble.tensor.Tensor;
import java.util.Arrays;
import java.util.Locale;
import java.util.Random;
import java.util.function.IntConsumer;

/**
 * Time and bandwidth of each kernel of a training step on a GPU, at the shapes of Llama-3-8B with
 * rank 16 on every linear and 8192 tokens in bfloat16.
 *
 * <p>Launches are queued behind a copy that outlasts the queuing, and its time is taken off: what
 * is left is the GPU's, however slow the host. The bytes of a line are those of its operands, each
 * once; the last column is of the bandwidth that a copy of 1 GiB reaches. No arguments.
 */
public final class GpuKernelSpeed implements AutoCloseable {
  private static final Device GPU = new Device(Device.Type.CUDA, 0);
  private static final DType T = DType.BFLOAT16;
  private static final int WARM_UP = 3;
  private static final int LAUNCHES = 20;
  private static final int REPEATS = 5;

  private static final int TOKENS = 8192;
  private static final int HIDDEN = 4096;
  private static final int INTERMEDIATE = 14336;
  private static final int HEADS = 32;
  private static final int KEY_VALUE_HEADS = 8;
  private static final int HEAD = 128;
  private static final int QKV = (HEADS + 2 * KEY_VALUE_HEADS) * HEAD;
  private static final int RANK = 16;
  private static final int VOCABULARY = 128256;
  private static final int LOGIT_ROWS = 2048;
  private static final int TRAINED = 41_943_040;
  private static final NormRule NORM = NormRule.rounded(1e-5);

  /** More than any L2 cache: weights that decoding reads in turn come from memory. */
  private static final long BEYOND_CACHE = 256L << 20;

  private final Scope all = new Scope();
  private final Tensor one = all.own(tensor(DType.FLOAT32, 1));
  private final Tensor from = all.own(tensor(DType.UINT8, 1L << 30));
  private final Tensor to = all.own(tensor(DType.UINT8, 1L << 30));
  private double copyBandwidth;

  private GpuKernelSpeed() {}

  /** Prints a line a kernel. */
  public static void main(String[] args) {
    try (GpuKernelSpeed speed = new GpuKernelSpeed()) {
      speed.copy();
      speed.norms();
      speed.rotary();
      speed.activation();
      speed.adapters();
      speed.dequantization();
      speed.crossEntropy();
      speed.optimizer();
      speed.products();
      speed.hostCost();
    }
  }

  @Override
  public void close() {
    all.close();
  }

  private static Tensor tensor(DType dtype, long... shape) {
    return Tensor.empty(GPU, dtype, shape).zero();
  }

  private static Tensor activations(Scope scope, long width) {
    return scope.own(tensor(T, TOKENS, width));
  }

  /** Seconds until the device has done what is queued, with these launches at the end. */
  private double untilDone(IntConsumer launch, int launches) {
    one.item();
    long start = System.nanoTime();
    for (int copies = 0; copies < 4; copies++) {
      to.copyFrom(from);
    }
    for (int i = 0; i < launches; i++) {
      launch.accept(i);
    }
    one.item();
    return (System.nanoTime() - start) / 1e9;
  }

  /** Seconds of one launch; the median of some measurements. */
  private double seconds(IntConsumer launch) {
    untilDone(launch, WARM_UP);
    double[] seconds = new double[REPEATS];
    for (int i = 0; i < REPEATS; i++) {
      seconds[i] = (untilDone(launch, LAUNCHES) - untilDone(launch, 0)) / LAUNCHES;
    }
    Arrays.sort(seconds);
    return seconds[REPEATS / 2];
  }

  /** Columns of the product of {@code [x, xA]}, as nn/LinearGroup pads them. */
  private static long padded(long columns) {
    return (columns + 63) / 64 * 64;
  }

  /** Rows with room behind them, as the norm and the gated activation leave it. */
  private static Tensor roomy(Scope scope, long in, long ranks) {
    return scope.own(Tensor.emptyRows(GPU, T, TOKENS, in, padded(in + ranks)).zero());
  }

  private static long bytes(Tensor... operands) {
    return Arrays.stream(operands).mapToLong(Tensor::byteSize).sum();
  }

  private void print(String kernel, long bytes, IntConsumer launch) {
    double seconds = seconds(launch);
    double bandwidth = bytes / seconds;
    if (copyBandwidth == 0) {
      copyBandwidth = bandwidth;
    }
    System.out.printf(
        Locale.ROOT,
        "%-56s %9.4f ms %9.2f MB %8.1f GB/s %6.1f %%%n",
        kernel,
        seconds * 1e3,
        bytes / 1e6,
        bandwidth / 1e9,
        100 * bandwidth / copyBandwidth);
  }

  private void copy() {
    print("copy of 1 GiB", bytes(to, from), i -> to.copyFrom(from));
  }

  private void norms() {
    try (Scope scope = new Scope()) {
      Tensor x = activations(scope, HIDDEN);
      Tensor y = activations(scope, HIDDEN);
      Tensor normed = roomy(scope, HIDDEN, 3 * RANK);
      Tensor prior = activations(scope, HIDDEN);
      Tensor dx = activations(scope, HIDDEN);
      Tensor w = scope.own(tensor(DType.FLOAT32, HIDDEN));
      print("add, libtorch's", bytes(x, y, dx), i -> Ops.add(x, y, 1).close());
      print("add, by a kernel", bytes(x, y, dx), i -> ElementwiseKernels.add(dx, x, y));
      print("rms_norm_forward", bytes(x, y), i -> RmsNormKernels.forward(normed, x, w, NORM));
      print(
          "rms_norm_backward",
          bytes(x, y, dx),
          i -> RmsNormKernels.backward(dx, normed, x, w, null, NORM));
      print(
          "rms_norm_backward, with a prior gradient",
          bytes(x, y, prior, dx),
          i -> RmsNormKernels.backward(dx, normed, x, w, prior, NORM));
    }
  }

  private void rotary() {
    try (Scope scope = new Scope()) {
      Tensor qkv = activations(scope, QKV);
      Tensor out = activations(scope, QKV);
      Tensor dq = scope.own(tensor(T, TOKENS, HEADS, HEAD));
      Tensor dk = scope.own(tensor(T, TOKENS, KEY_VALUE_HEADS, HEAD));
      Tensor dv = scope.own(tensor(T, TOKENS, KEY_VALUE_HEADS, HEAD));
      Tensor cos = scope.own(tensor(DType.FLOAT32, TOKENS, HEAD / 2));
      Tensor sin = scope.own(tensor(DType.FLOAT32, TOKENS, HEAD / 2));
      int[] each = new int[TOKENS];
      Arrays.setAll(each, i -> i);
      Tensor positions = scope.own(Tensor.ofInts(GPU, each));
      print(
          "rotary_rotate",
          bytes(qkv, out, cos, sin),
          i -> RotaryKernels.rotate(out, qkv, positions, cos, sin, HEADS, KEY_VALUE_HEADS));
      print(
          "rotary_rotate, in place (without values)",
          2 * bytes(qkv) * (HEADS + KEY_VALUE_HEADS) / (HEADS + 2 * KEY_VALUE_HEADS)
              + bytes(cos, sin),
          i -> RotaryKernels.rotate(qkv, qkv, positions, cos, sin, HEADS, KEY_VALUE_HEADS));
      print(
          "rotary_gradient",
          bytes(dq, dk, dv, out, cos, sin),
          i -> RotaryKernels.gradient(out, dq, dk, dv, positions, cos, sin));
    }
  }

  private void activation() {
    try (Scope scope = new Scope()) {
      Tensor gateUp = activations(scope, 2 * INTERMEDIATE);
      Tensor dGateUp = activations(scope, 2 * INTERMEDIATE);
      Tensor h = roomy(scope, INTERMEDIATE, RANK);
      print("swiglu_forward", bytes(gateUp, h), i -> GatedKernels.SWIGLU.forward(h, gateUp));
      print(
          "swiglu_backward",
          bytes(gateUp, h, dGateUp),
          i -> GatedKernels.SWIGLU.backward(dGateUp, h, gateUp));
    }
  }

  private void adapters() {
    adapter("q, k and v", HIDDEN, 3 * RANK, QKV);
    adapter("gate and up", HIDDEN, 2 * RANK, 2 * INTERMEDIATE);
    adapter("down", INTERMEDIATE, RANK, HIDDEN);
    try (Scope scope = new Scope()) {
      Tensor a = scope.own(tensor(DType.FLOAT32, RANK, HIDDEN));
      Tensor dA = scope.own(tensor(T, RANK, HIDDEN));
      Tensor b = scope.own(tensor(DType.FLOAT32, INTERMEDIATE, RANK));
      Tensor dB = scope.own(tensor(T, INTERMEDIATE, RANK));
      print(
          "add_scaled, A",
          2 * bytes(a) + bytes(dA),
          i -> ElementwiseKernels.addScaled(a, dA, HIDDEN, 1));
      print(
          "add_scaled, B",
          2 * bytes(b) + bytes(dB),
          i -> ElementwiseKernels.addScaled(b, dB, RANK, 2));
    }
  }

  private void adapter(String group, int in, int ranks, int out) {
    try (Scope scope = new Scope()) {
      Tensor x = activations(scope, in);
      Tensor through = activations(scope, in);
      Tensor result = activations(scope, in);
      Tensor extended = activations(scope, padded(in + ranks));
      Tensor h = activations(scope, ranks);
      Tensor columns = scope.own(extended.narrow(1, in, ranks));
      print(
          "lora_extend, " + group, bytes(x, h, extended), i -> LoraKernels.extend(extended, x, h));
      print("copy of the gradient of xA, " + group, bytes(h, h), i -> h.copyFrom(columns));
      print(
          "lora_input_gradient, " + group,
          bytes(x, through, result),
          i -> LoraKernels.inputGradient(result, extended, through, null, 0, 0));
      print(
          "lora_input_gradient, with a prior gradient, " + group,
          bytes(x, x, through, result),
          i -> LoraKernels.inputGradient(result, extended, through, x, 0, 0));
      Tensor a = scope.own(tensor(T, ranks, in));
      Tensor left = scope.own(extended.narrow(1, 0, in));
      print(
          "product of xA's gradient and A, added to dx, " + group,
          bytes(columns, left, left),
          i -> Ops.addmm(left, columns, a, 1, 1));
      print(
          "product of xA's gradient and A, " + group,
          bytes(columns, through),
          i -> Ops.mm(through, columns, a));
      Tensor aTransposed = scope.own(a.t());
      print(
          "product of x and A, behind x, " + group,
          bytes(left, columns),
          i -> Ops.mm(columns, left, aTransposed));
      print("product of x and A, " + group, bytes(x, h), i -> Ops.mm(h, x, aTransposed));
      int unfilled = (int) padded(in + ranks) - in;
      Tensor weights = scope.own(tensor(T, out, padded(in + ranks)));
      Tensor b = scope.own(tensor(DType.FLOAT32, out, RANK));
      print(
          "lora_up, " + group,
          bytes(b) + (long) out * unfilled * T.bytes(),
          i -> LoraKernels.up(weights, 0, in, unfilled, 0, b, 2, out));
    }
  }

  /** A weight of random codes. */
  private static Weight4 weight(Scope scope, long out, long in, boolean nested) {
    byte[] codes = new byte[Math.toIntExact(out * in / 2)];
    new Random(0).nextBytes(codes);
    Tensor packed;
    try (Tensor host = Tensor.empty(DType.UINT8, codes.length)) {
      host.bytes(0, codes.length).put(codes);
      packed = scope.own(host.to(GPU));
    }
    long blocks = out * in / 64;
    Tensor absmax = scope.own(tensor(nested ? DType.UINT8 : DType.FLOAT32, blocks));
    NestedTables tables = null;
    if (nested) {
      Tensor absmax2 = scope.own(tensor(DType.FLOAT32, (blocks + 255) / 256));
      tables = new NestedTables(absmax2, scope.own(tensor(DType.FLOAT32, 256)), 0.02f);
    }
    return new Weight4(Code4.NF4, 64, out * in, packed, absmax, tables);
  }

  private static long bytes(Weight4 weight) {
    long nested = weight.nested() == null ? 0 : bytes(weight.nested().absmax2());
    return bytes(weight.packed(), weight.absmax()) + nested;
  }

  private void dequantization() {
    dequantize(HIDDEN, HIDDEN, 3 * RANK);
    dequantize(INTERMEDIATE, HIDDEN, 2 * RANK);
    dequantize(HIDDEN, INTERMEDIATE, RANK);
  }

  private void dequantize(long out, long in, int ranks) {
    for (boolean nested : new boolean[] {false, true}) {
      try (Scope scope = new Scope()) {
        Weight4 weight = weight(scope, out, in, nested);
        Tensor wide = scope.own(tensor(T, out, padded(in + ranks)));
        Tensor columns = scope.own(wide.narrow(1, 0, in));
        print(
            "dequantize4, " + out + "x" + in + (nested ? ", double quantisation" : ""),
            bytes(weight) + bytes(columns),
            i -> weight.dequantize(columns, 0));
      }
    }
  }

  private void crossEntropy() {
    try (Scope scope = new Scope()) {
      Tensor logits = scope.own(tensor(T, LOGIT_ROWS, VOCABULARY));
      Tensor losses = scope.own(tensor(DType.FLOAT32, LOGIT_ROWS));
      Tensor targets = scope.own(Tensor.ofInts(GPU, new int[LOGIT_ROWS]));
      print(
          "cross_entropy",
          bytes(logits),
          i -> CrossEntropyKernels.forward(losses, logits, targets, 1, false));
      print(
          "cross_entropy, with gradient",
          bytes(logits, logits),
          i -> CrossEntropyKernels.forward(losses, logits, targets, 1e-4, true));
    }
  }

  private void optimizer() {
    try (Scope scope = new Scope()) {
      Tensor param = scope.own(tensor(DType.FLOAT32, TRAINED));
      Tensor grad = scope.own(tensor(DType.FLOAT32, TRAINED));
      Tensor expAvg = scope.own(tensor(DType.FLOAT32, TRAINED));
      Tensor expAvgSq = scope.own(tensor(DType.FLOAT32, TRAINED));
      Tensor factor = scope.own(Tensor.of(GPU, new float[] {1, 1}, 2));
      Tensor sum = scope.own(tensor(DType.FLOAT64, 1));
      AdamWConstants constants = new AdamWConstants(1, 0.1f, 0.999f, 0.001f, 1, 1e-8f, -1e-4f);
      print("sum_of_squares", bytes(grad), i -> OptimizerKernels.sumOfSquares(sum, grad));
      print(
          "adamw",
          bytes(grad) + 2 * bytes(param, expAvg, expAvgSq),
          i -> OptimizerKernels.adamW(param, grad, expAvg, expAvgSq, factor, constants));
    }
  }

  private void products() {
    product(HIDDEN, HIDDEN);
    product(2 * INTERMEDIATE, HIDDEN);
    product(HIDDEN, INTERMEDIATE);
  }

  /** One row, as a decoded token is; the weights take turns, so that they come from memory. */
  private void product(long out, long in) {
    try (Scope scope = new Scope()) {
      int count = (int) Math.min(LAUNCHES, BEYOND_CACHE / (out * in / 2) + 1);
      Weight4[] weights = new Weight4[count];
      Arrays.setAll(weights, i -> weight(scope, out, in, true));
      Tensor x = scope.own(tensor(T, 1, in));
      Tensor y = scope.own(tensor(T, 1, out));
      print(
          "product4, one row, " + out + "x" + in,
          bytes(weights[0]),
          i -> weights[i % count].multiply(y, x));
    }
  }

  /** What a launch costs the host, of a kernel that takes the device less. */
  private void hostCost() {
    int launches = 500;
    for (int repeat = 0; repeat < REPEATS; repeat++) {
      one.item();
      long start = System.nanoTime();
      for (int i = 0; i < launches; i++) {
        ElementwiseKernels.add(one, one, one);
      }
      double seconds = (System.nanoTime() - start) / 1e9;
      System.out.printf(Locale.ROOT, "a launch takes the host %.2f us%n", seconds / launches * 1e6);
    }
  }
}
