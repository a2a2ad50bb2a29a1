package ai.nibble.train;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.JoinedFloats;
import ai.nibble.autograd.Tape;
import ai.nibble.autograd.Variable;
import ai.nibble.data.Batch;
import ai.nibble.data.Example;
import ai.nibble.lora.LoraAdapter;
import ai.nibble.lora.LoraConfig;
import ai.nibble.model.AllWeights;
import ai.nibble.model.CausalLm;
import ai.nibble.model.Checkpointing;
import ai.nibble.model.Decoder;
import ai.nibble.model.LoadOptions;
import ai.nibble.model.TinyModel;
import ai.nibble.model.Trainable;
import ai.nibble.nn.KvCache;
import ai.nibble.nn.Parameter;
import ai.nibble.nn.Pass;
import ai.nibble.quant.Quant4Config;
import ai.nibble.quant.Quant4Type;
import ai.nibble.quant.QuantConfig;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Device;
import ai.nibble.tensor.HostKernels;
import ai.nibble.tensor.KernelLaunchers;
import ai.nibble.tensor.Scope;
import ai.nibble.tensor.Tensor;
import java.nio.FloatBuffer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.function.Supplier;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.FieldSource;

/**
 * Every architecture as a GPU computes it: by the project's kernels, compiled for the host, and
 * with a device's attention, which is by products on a CPU. What comes out is what the CPU
 * computes.
 */
class ModelByKernelsTest {
  /** Longer than the windows, and of Phi 3 one that is stretched and one that is not. */
  private static final int[] STARTS = {0, 13, 22, 23};

  @TempDir Path folder;
  private long liveBefore;

  @BeforeEach
  void countTensors() {
    liveBefore = Tensor.live();
  }

  @AfterEach
  void everyTensorIsClosed() {
    assertEquals(liveBefore, Tensor.live());
  }

  private void write(String modelType) {
    TinyModel tiny = TinyModel.of(modelType, 21).scaled(0.5f);
    tiny.writeTo(folder);
  }

  /** Where a model is computed. */
  Device device = Device.CPU;

  /** Computes as a GPU does. */
  <V> V byKernels(Supplier<V> body) {
    KernelLaunchers.Installation kernels = HostKernels.install();
    try (kernels) {
      return body.get();
    }
  }

  private static int[] ids() {
    return new Random(3).ints(STARTS[STARTS.length - 1], 0, 11).toArray();
  }

  /** float32: sums in another order differ by some 2⁻²⁴, a hundred times that after all layers. */
  private static void assertClose(String what, float[] expected, float[] seen) {
    float largest = 0;
    for (float value : expected) {
      largest = Math.max(largest, Math.abs(value));
    }
    assertArrayEquals(expected, seen, 1e-5f * largest, what);
  }

  private float[] logits() {
    int[] positions = new int[STARTS[STARTS.length - 1]];
    Arrays.setAll(positions, i -> i);
    try (CausalLm model = CausalLm.load(folder, LoadOptions.unquantized(DType.FLOAT32).on(device));
        Tensor logits = model.logits(ids(), Pass.evaluating(STARTS), positions)) {
      return logits.toFloats();
    }
  }

  /** Of tokens that several sequences share: computed once, and by each. */
  private float[] branches() {
    int own = Pass.NO_TRUNK;
    Pass pass = Pass.branching(new int[] {0, 8, 12, 15, 23}, new int[] {own, 0, 0, own});
    int[] positions = {7, 11, 14, 22};
    try (CausalLm model = CausalLm.load(folder, LoadOptions.unquantized(DType.FLOAT32).on(device));
        Tensor logits = model.logits(ids(), pass, positions)) {
      return logits.toFloats();
    }
  }

  @ParameterizedTest
  @FieldSource("ai.nibble.model.TinyModel#MODEL_TYPES")
  void logitsAreTheCpus(String modelType) {
    write(modelType);
    assertClose(modelType, logits(), byKernels(this::logits));
    assertClose(modelType + ", branches", branches(), byKernels(this::branches));
  }

  /** What a step leaves: its loss, and every gradient. */
  private static Map<String, float[]> step(
      CausalLm model, Trainable trained, Checkpointing checkpointing) {
    int[] ids = ids();
    List<Example> rows = new ArrayList<>();
    for (int s = 0; s + 1 < STARTS.length; s++) {
      int[] row = Arrays.copyOfRange(ids, STARTS[s], STARTS[s + 1]);
      rows.add(new Example(row, row));
    }
    TrainStep.Outcome outcome =
        PlainSteps.of(model, trained, 0, 1e9, checkpointing).run(List.of(Batch.of(rows)), 1e-3, 0);
    Map<String, float[]> seen = new LinkedHashMap<>();
    seen.put("loss", new float[] {(float) outcome.loss()});
    for (Parameter p : trained.parameters().parameters()) {
      seen.put(p.name(), p.grad().toFloats());
    }
    return seen;
  }

  private static void drawUp(LoraAdapter adapter) {
    float[] noise = new float[Math.toIntExact(adapter.parameters().numel())];
    Random random = new Random(8);
    for (int i = 0; i < noise.length; i++) {
      noise[i] = (float) (0.3 * random.nextGaussian());
    }
    adapter.parameters().setValues(FloatBuffer.wrap(noise));
  }

  private Map<String, float[]> adapters(Checkpointing checkpointing, double dropout) {
    LoraConfig config = LoraConfig.DEFAULT.withRank(3, 6).withDropout(dropout);
    try (CausalLm model = CausalLm.load(folder, LoadOptions.unquantized(DType.FLOAT32).on(device));
        LoraAdapter adapter = LoraAdapter.inject(model, config, 4)) {
      drawUp(adapter);
      return step(model, adapter, checkpointing);
    }
  }

  private Map<String, float[]> allWeights(Checkpointing checkpointing) {
    try (CausalLm model = CausalLm.load(folder, LoadOptions.trained(DType.FLOAT32).on(device))) {
      return step(model, new AllWeights(model), checkpointing);
    }
  }

  /**
   * Each gradient is within a share of the largest of all: one that is small by cancelling has the
   * others' rounding.
   *
   * @param what begins with the architecture. The factor of Phi 3's stretched positions makes
   *     scores of several tens, of which a probability has as many roundings of 2⁻²⁴
   */
  private static void assertSteps(
      String what, Map<String, float[]> expected, Map<String, float[]> seen) {
    float share = what.startsWith("phi3") ? 5e-5f : 1e-5f;
    assertEquals(expected.keySet(), seen.keySet());
    float largest = 0;
    for (float[] values : expected.values()) {
      for (float value : values) {
        largest = Math.max(largest, Math.abs(value));
      }
    }
    for (String name : expected.keySet()) {
      assertArrayEquals(expected.get(name), seen.get(name), share * largest, what + ", " + name);
    }
  }

  @ParameterizedTest
  @FieldSource("ai.nibble.model.TinyModel#MODEL_TYPES")
  void gradientsAreTheCpusByEachCheckpointing(String modelType) {
    write(modelType);
    Map<String, float[]> plain = adapters(Checkpointing.NONE, 0);
    Map<String, float[]> dropped = adapters(Checkpointing.NONE, 0.3);
    Map<String, float[]> all = allWeights(Checkpointing.NONE);
    for (Checkpointing mode : Checkpointing.values()) {
      String what = modelType + " " + mode;
      assertSteps(what, plain, byKernels(() -> adapters(mode, 0)));
      assertSteps(what + ", dropout", dropped, byKernels(() -> adapters(mode, 0.3)));
      assertSteps(what + ", all weights", all, byKernels(() -> allWeights(mode)));
    }
  }

  private float[] logProbs() {
    int[] positions = {2, 9, 12, 15, 21};
    int[] targets = {1, 0, 7, 4, 10};
    try (CausalLm model = CausalLm.load(folder, LoadOptions.unquantized(DType.FLOAT32).on(device));
        LoraAdapter adapter = LoraAdapter.inject(model, LoraConfig.DEFAULT.withRank(3, 6), 4);
        Tape tape = Tape.recording()) {
      drawUp(adapter);
      Pass pass = Pass.evaluating(STARTS);
      Variable hidden = model.hidden(tape, ids(), pass, Checkpointing.NONE);
      Variable logProbs = model.logProbs(tape, hidden, pass, positions, targets);
      float[] values = logProbs.value().toFloats();
      tape.backward(logProbs, Tensor.of(device, new float[] {1, -2, 3, 1, 0.5f}, positions.length));
      float[] grads = {};
      for (Parameter p : adapter.parameters().parameters()) {
        float[] own = p.grad().toFloats();
        int at = grads.length;
        grads = Arrays.copyOf(grads, at + own.length);
        System.arraycopy(own, 0, grads, at, own.length);
      }
      float[] both = Arrays.copyOf(values, values.length + grads.length);
      System.arraycopy(grads, 0, both, values.length, grads.length);
      return both;
    }
  }

  /** The loss of preferences, whose logits may have a cap. */
  @ParameterizedTest
  @FieldSource("ai.nibble.model.TinyModel#MODEL_TYPES")
  void logProbabilitiesAndTheirGradientsAreTheCpus(String modelType) {
    write(modelType);
    assertClose(modelType, logProbs(), byKernels(this::logProbs));
  }

  /** Logits of prompts and of tokens after them, one and several at a time. */
  private float[] generated(Optional<QuantConfig> quantization, long kept) {
    LoadOptions options = new LoadOptions(quantization, DType.FLOAT32).on(device);
    List<float[]> seen = new ArrayList<>();
    try (Scope scope = new Scope();
        CausalLm model = CausalLm.load(folder, options);
        LoraAdapter adapter = LoraAdapter.inject(model, LoraConfig.DEFAULT.withRank(3, 6), 4);
        Decoder decoder = new Decoder(model, kept)) {
      drawUp(adapter);
      decoder.adaptersChanged();
      int[] ids = ids();
      List<KvCache> caches = List.of(scope.own(decoder.cache(24)), scope.own(decoder.cache(24)));
      int at = 0;
      // past the windows, and of Phi 3 past the length from which on sequences are stretched
      for (int count : new int[] {7, 1, 2, 1, 1, 1, 3, 1}) {
        int[] first = Arrays.copyOfRange(ids, at, at + count);
        int[] second = {ids[at + 2]};
        try (Tensor logits = decoder.next(List.of(first, second), caches)) {
          seen.add(logits.toFloats());
        }
        at += count;
      }
    }
    return JoinedFloats.of(seen);
  }

  @ParameterizedTest
  @FieldSource("ai.nibble.model.TinyModel#MODEL_TYPES")
  void generationIsTheCpus(String modelType) {
    write(modelType);
    Optional<QuantConfig> nf4 = Optional.of(new Quant4Config(Quant4Type.NF4, 32, true));
    for (Optional<QuantConfig> quantization : List.of(Optional.<QuantConfig>empty(), nf4)) {
      for (long kept : new long[] {0, Long.MAX_VALUE}) {
        float[] expected = generated(quantization, kept);
        float[] seen = byKernels(() -> generated(quantization, kept));
        assertTrue(expected.length > 0);
        assertClose(modelType + " " + quantization + " " + kept, expected, seen);
      }
    }
  }
}
