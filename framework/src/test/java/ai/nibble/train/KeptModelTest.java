package ai.nibble.train;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.JoinedFloats;
import ai.nibble.data.Batch;
import ai.nibble.data.Example;
import ai.nibble.lora.LoraAdapter;
import ai.nibble.lora.LoraConfig;
import ai.nibble.model.CausalLm;
import ai.nibble.model.Checkpointing;
import ai.nibble.model.Decoder;
import ai.nibble.model.LoadOptions;
import ai.nibble.model.ModelConfig;
import ai.nibble.model.ModelShape;
import ai.nibble.model.Placement;
import ai.nibble.model.QuantizedCheckpointTest;
import ai.nibble.model.Splits;
import ai.nibble.model.TinyModel;
import ai.nibble.nn.Extent;
import ai.nibble.nn.KvCache;
import ai.nibble.nn.Pass;
import ai.nibble.quant.Quant4Config;
import ai.nibble.quant.Quant4Type;
import ai.nibble.quant.QuantConfig;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Device;
import ai.nibble.tensor.HostKernels;
import ai.nibble.tensor.KernelLaunchers;
import ai.nibble.tensor.Tensor;
import ai.nibble.tensor.TensorMemory;
import java.nio.FloatBuffer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.Random;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.FieldSource;

/** Models some of whose layers keep their weights dequantised have the bits of those without. */
class KeptModelTest {
  private static final Optional<QuantConfig> NF4 =
      Optional.of(new Quant4Config(Quant4Type.NF4, 32, true));
  private static final LoraConfig ADAPTER = LoraConfig.DEFAULT.withRank(3, 6).withDropout(0.3);

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

  private static int[] ids(int seed, int count) {
    return new Random(seed).ints(count, 0, 11).toArray();
  }

  /** Losses and norms of three steps of two micro-batches, then what was trained. */
  private static float[] train(CausalLm model, LoraAdapter adapter, Checkpointing checkpointing) {
    TrainStep step = PlainSteps.of(model, adapter, 0.01, 0.5, checkpointing);
    List<float[]> seen = new ArrayList<>();
    for (int s = 0; s < 3; s++) {
      Example first = new Example(ids(s, 9 + s), ids(s, 9 + s));
      Example second = new Example(ids(s + 7, 5), ids(s + 7, 5));
      TrainStep.Outcome outcome =
          step.run(List.of(Batch.of(List.of(first, second)), Batch.of(List.of(second))), 1e-2, s);
      seen.add(new float[] {(float) outcome.loss(), (float) outcome.gradNorm()});
    }
    adapter.parameters().parameters().forEach(p -> seen.add(p.value().toFloats()));
    return JoinedFloats.of(seen);
  }

  private static float[] train(
      Path base, LoadOptions options, List<Integer> kept, Checkpointing checkpointing) {
    try (CausalLm model = CausalLm.load(base, options);
        LoraAdapter adapter = LoraAdapter.inject(model, ADAPTER, 4)) {
      model.keepDequantized(kept);
      return train(model, adapter, checkpointing);
    }
  }

  private static void assertNoBitChanges(Path base, LoadOptions options, String what) {
    for (Checkpointing mode : Checkpointing.values()) {
      float[] expected = train(base, options, List.of(), mode);
      // one of two layers, of either end, then both
      List<Integer> some = List.of(mode.ordinal() % 2);
      assertArrayEquals(expected, train(base, options, some, mode), what + mode + some);
      List<Integer> all = List.of(0, 1);
      assertArrayEquals(expected, train(base, options, all, mode), what + mode + all);
    }
  }

  @ParameterizedTest
  @FieldSource("ai.nibble.model.TinyModel#MODEL_TYPES")
  void everyArchitectureTrainsTheSameBits(String modelType) {
    write(modelType);
    assertNoBitChanges(folder, new LoadOptions(NF4, DType.BFLOAT16), modelType);
  }

  @ParameterizedTest
  @FieldSource("ai.nibble.model.TinyModel#MODEL_TYPES")
  void soItDoesByKernels(String modelType) {
    write(modelType);
    KernelLaunchers.Installation kernels = HostKernels.install();
    try (kernels) {
      assertNoBitChanges(folder, new LoadOptions(NF4, DType.FLOAT32), modelType);
    }
  }

  /** GPTQ, AWQ, bitsandbytes' own: codes of other kinds, and of 8 bits. */
  @ParameterizedTest
  @FieldSource("ai.nibble.model.QuantizedCheckpointTest#BY_VALUES")
  void basesThatAreStoredQuantisedTrainTheSameBits(String name) {
    Path base = QuantizedCheckpointTest.directory(name);
    LoadOptions options = LoadOptions.unquantized(DType.BFLOAT16);
    float[] expected = train(base, options, List.of(), Checkpointing.BLOCK);
    assertArrayEquals(expected, train(base, options, List.of(0, 1), Checkpointing.BLOCK));
  }

  @Test
  void aModelOverSeveralDevicesTrainsTheSameBits() {
    write("llama");
    LoadOptions options = new LoadOptions(NF4, DType.FLOAT32);
    float[] expected = train(folder, options, List.of(), Checkpointing.NONE);
    for (Placement split : Splits.all()) {
      for (List<Integer> kept : List.of(List.of(0), List.of(0, 1))) {
        float[] seen = train(folder, options.on(split), kept, Checkpointing.NONE);
        // the norm's squares are added up by device: the last bits of a double
        assertArrayEquals(expected, seen, split + " " + kept);
      }
    }
  }

  /** What the plan counts is what tensors take, of experts and of kernels' wider rows, too. */
  @ParameterizedTest
  @FieldSource("ai.nibble.model.TinyModel#MODEL_TYPES")
  void theBytesOfALayerAreKnownFromSizes(String modelType) {
    write(modelType);
    for (boolean kernels : new boolean[] {false, true}) {
      KernelLaunchers.Installation host = kernels ? HostKernels.install() : () -> {};
      try (host;
          CausalLm model = CausalLm.load(folder, new LoadOptions(NF4, DType.BFLOAT16));
          LoraAdapter adapter = LoraAdapter.inject(model, ADAPTER, 4)) {
        ModelConfig config = model.config();
        ModelShape shape =
            ModelShape.of(
                config,
                DType.FLOAT32,
                false,
                new ModelShape.Linears(
                    path -> adapter.modules().contains(path) ? 3 : 0, true, path -> false));
        Extent extent =
            new Extent(new int[] {0, 1}, model.precision(), Device.Type.CPU, kernels, 1);
        for (int layer = 0; layer < config.numHiddenLayers(); layer++) {
          long before = TensorMemory.heldBytes(Device.Type.CPU);
          model.keepDequantized(List.of(layer));
          long taken = TensorMemory.heldBytes(Device.Type.CPU) - before;
          assertEquals(taken, model.dequantizedBytes(layer));
          assertEquals(taken, shape.layers().get(layer).dequantizedBytes(extent));
          model.keepDequantized(List.of());
          assertEquals(before, TensorMemory.heldBytes(Device.Type.CPU));
        }
      }
    }
  }

  /** Logits of a prompt and of tokens after it. */
  private static float[] generated(Decoder decoder) {
    List<float[]> seen = new ArrayList<>();
    try (KvCache cache = decoder.cache(20)) {
      int[] due = ids(8, 9);
      for (int step = 0; step < 4; step++) {
        try (Tensor logits = decoder.next(List.of(due), List.of(cache))) {
          seen.add(logits.toFloats());
        }
        due = ids(step, 1);
      }
    }
    return JoinedFloats.of(seen);
  }

  private static void drawUp(LoraAdapter adapter, int seed) {
    float[] values = new float[Math.toIntExact(adapter.parameters().numel())];
    Random random = new Random(seed);
    for (int i = 0; i < values.length; i++) {
      values[i] = (float) (0.3 * random.nextGaussian());
    }
    adapter.parameters().setValues(FloatBuffer.wrap(values));
  }

  /** A step, answers with one adapter and another and with none, a step again. */
  private static float[] mixed(Path base, LoadOptions options, List<Integer> kept) {
    List<float[]> seen = new ArrayList<>();
    try (CausalLm model = CausalLm.load(base, options);
        LoraAdapter first = LoraAdapter.inject(model, ADAPTER, 4)) {
      model.keepDequantized(kept);
      seen.add(train(model, first, Checkpointing.SELECTIVE));
      try (Decoder decoder = new Decoder(model, 0)) {
        seen.add(generated(decoder));
      }
      seen.add(train(model, first, Checkpointing.NONE));
      try (Decoder decoder = new Decoder(model, Long.MAX_VALUE);
          LoraAdapter second = LoraAdapter.inject(model, ADAPTER.withRank(5, 5), 6)) {
        drawUp(second, 9);
        decoder.adaptersChanged();
        seen.add(generated(decoder));
        second.detach();
        decoder.adaptersChanged();
        seen.add(generated(decoder));
        first.attach();
        decoder.adaptersChanged();
        seen.add(generated(decoder));
      }
      seen.add(train(model, first, Checkpointing.BLOCK));
      int[] positions = {3, 8};
      try (Tensor logits = model.logits(ids(1, 9), Pass.evaluating(0, 9), positions)) {
        seen.add(logits.toFloats());
      }
    }
    return JoinedFloats.of(seen);
  }

  /** In float16 no weight is read as it lies in 4 bits, so that generation keeps them, too. */
  @Test
  void generationBetweenStepsChangesNothingAndTakesNothingAway() {
    write("llama");
    for (DType dtype : List.of(DType.FLOAT16, DType.BFLOAT16)) {
      LoadOptions options = new LoadOptions(NF4, dtype);
      float[] expected = mixed(folder, options, List.of());
      for (List<Integer> kept : List.of(List.of(1), List.of(0, 1))) {
        assertArrayEquals(expected, mixed(folder, options, kept), dtype + " " + kept);
      }
    }
  }

  @Test
  void generationLeavesWhatTheModelKeeps() {
    write("llama");
    try (CausalLm model = CausalLm.load(folder, new LoadOptions(NF4, DType.FLOAT16))) {
      model.keepDequantized(List.of(0));
      long held = TensorMemory.heldBytes(Device.Type.CPU);
      try (Decoder decoder = new Decoder(model, 0)) {
        assertEquals(0, decoder.keptBytes());
        assertTrue(
            decoder.description().startsWith("generation keeps 4 of 8 groups of weights in "),
            decoder.description());
      }
      assertEquals(held, TensorMemory.heldBytes(Device.Type.CPU));
    }
  }

  @Test
  void layersThatAreNotThereAndTrainedWeightsAreRefused() {
    write("llama");
    try (CausalLm model = CausalLm.load(folder, new LoadOptions(NF4, DType.FLOAT32))) {
      assertThrows(
          IndexOutOfBoundsException.class, () -> model.keepDequantized(Arrays.asList(0, 2)));
    }
    try (CausalLm model = CausalLm.load(folder, LoadOptions.trained(DType.FLOAT32))) {
      model.keepDequantized(List.of());
      assertEquals(
          "weights that are trained are not kept dequantised",
          assertThrows(IllegalStateException.class, () -> model.keepDequantized(List.of(1)))
              .getMessage());
    }
  }
}
