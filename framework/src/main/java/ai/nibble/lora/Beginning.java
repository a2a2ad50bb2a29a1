package ai.nibble.lora;

import ai.nibble.InvalidInputException;
import ai.nibble.model.CausalLm;
import ai.nibble.model.WeightSource;
import ai.nibble.nn.Linear;
import ai.nibble.nn.LowRank;
import ai.nibble.nn.Precision;
import ai.nibble.nn.Quant4Weight;
import ai.nibble.nn.Weight;
import ai.nibble.safetensors.SafetensorsFile;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Device;
import ai.nibble.tensor.Tensor;
import java.nio.FloatBuffer;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Map;
import java.util.Optional;

/**
 * Sets new updates to their first values.
 *
 * @param model that they are on
 * @param config of them
 * @param updates by module path
 */
record Beginning(CausalLm model, LoraConfig config, Map<String, LowRank> updates) {

  /**
   * Draws or decomposes them.
   *
   * @param source what LoftQ compares the held weights with
   */
  void draw(long seed, Optional<WeightSource> source) {
    AdapterInit init = new AdapterInit(config.initLoraWeights(), seed);
    AdapterInit plain = new AdapterInit(InitLoraWeights.KAIMING, seed);
    for (Map.Entry<String, LowRank> entry : updates.entrySet()) {
      String path = entry.getKey();
      LowRank update = entry.getValue();
      Tensor a = update.a().value();
      Tensor b = update.b().value();
      AdapterInit.Place place =
          new AdapterInit.Place(
              path, (int) b.size(0), (int) a.size(1), update.trainedRank(), update.scaling());
      AdapterInit.Matrices first =
          (losesNothing(path) ? plain : init).of(place, () -> decomposed(path, source));
      a.setFloats(FloatBuffer.wrap(first.a()));
      b.setFloats(FloatBuffer.wrap(first.b()));
      update.fixed().ifPresent(pair -> subtract(pair, first));
      if (config.extras().useDora()) {
        initMagnitude(path, update);
      }
    }
  }

  /** Whether there is nothing for LoftQ to mend: two matrices of zeros would never learn. */
  private boolean losesNothing(String path) {
    return config.initLoraWeights().kind() == InitLoraWeights.Kind.LOFTQ
        && !(model.adaptables().get(path).weight() instanceof Quant4Weight);
  }

  private static void subtract(LowRank.Fixed pair, AdapterInit.Matrices first) {
    float[] minus = first.b().clone();
    for (int i = 0; i < minus.length; i++) {
      minus[i] = -minus[i];
    }
    pair.a().setFloats(FloatBuffer.wrap(first.a()));
    pair.b().setFloats(FloatBuffer.wrap(minus));
  }

  /** The weight as it is held or, for LoftQ, what the stored one has more; float32 on the CPU. */
  private Tensor decomposed(String path, Optional<WeightSource> source) {
    Weight weight = model.adaptables().get(path).weight();
    Precision wide = Precision.of(DType.FLOAT32);
    Tensor values;
    try (Tensor held =
        Tensor.empty(weight.device(), DType.FLOAT32, weight.outFeatures(), weight.inFeatures())) {
      weight.writeTo(held, 0, wide);
      values = held.to(Device.CPU);
    }
    if (config.initLoraWeights().kind() != InitLoraWeights.Kind.LOFTQ) {
      return values;
    }
    try (values) {
      return lost(path, values, source);
    }
  }

  private static Tensor lost(String path, Tensor held, Optional<WeightSource> source) {
    if (source.isEmpty()) {
      throw new IllegalArgumentException("LoftQ needs the source of the weights");
    }
    float[] stored = new float[Math.toIntExact(held.numel())];
    source.get().read(path + ".weight", 0, stored, 0, stored.length);
    float[] values = held.toFloats();
    for (int i = 0; i < stored.length; i++) {
      stored[i] -= values[i];
    }
    return Tensor.of(stored, held.shape());
  }

  /**
   * The norms of the rows of the weight and the product that the adapter begins with. Where that is
   * zero, or taken back, they are the weight's own.
   */
  private void initMagnitude(String path, LowRank update) {
    Linear linear = model.linears().get(path);
    Precision there = Precision.of(model.precision().compute(), linear.weight().device());
    try (Tensor norms = linear.rowNorms(there)) {
      float[] values = norms.toFloats();
      for (int row = 0; row < values.length; row++) {
        if (values[row] == 0) {
          throw new InvalidInputException(
              "use_dora: '"
                  + path
                  + "' has only zeros in row "
                  + row
                  + " of its weight, which has no direction to scale: leave the module out of"
                  + " lora_target_modules");
        }
      }
      update.magnitude().orElseThrow().value().copyFrom(norms);
    }
  }

  /**
   * Takes them from an adapter that was saved since: what it takes back is what it began with.
   *
   * @throws InvalidInputException if it has no such second half
   */
  void take(Path directory) {
    try (SafetensorsFile file = SafetensorsFile.open(AdapterStore.weights(directory))) {
      updates.forEach(
          (path, update) -> {
            LowRank.Fixed pair = update.fixed().orElseThrow();
            takeSecondHalf(file, AdapterNames.loraA(path), pair.a(), 0);
            takeSecondHalf(file, AdapterNames.loraB(path), pair.b(), 1);
            update.a().value().copyFrom(pair.a());
            float[] plus = pair.b().toFloats();
            for (int i = 0; i < plus.length; i++) {
              plus[i] = -plus[i];
            }
            update.b().value().setFloats(FloatBuffer.wrap(plus));
            if (config.extras().useDora()) {
              initMagnitude(path, update);
            }
          });
    }
  }

  private static void takeSecondHalf(SafetensorsFile file, String name, Tensor into, int dim) {
    long[] shape = into.shape();
    long half = shape[dim];
    shape[dim] = 2 * half;
    if (!file.names().contains(name) || !Arrays.equals(file.tensor(name).dimensions(), shape)) {
      throw new InvalidInputException(
          file.path()
              + ": no tensor '"
              + name
              + "' of the shape "
              + Arrays.toString(shape)
              + ", with which this run began: begin anew");
    }
    float[] values = new float[Math.toIntExact(into.numel() * 2)];
    file.readFloats(name, 0, values, 0, values.length);
    try (Tensor all = Tensor.of(values, shape);
        Tensor second = all.narrow(dim, half, half)) {
      into.copyFrom(second);
    }
  }
}
