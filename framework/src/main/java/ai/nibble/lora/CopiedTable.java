package ai.nibble.lora;

import ai.nibble.model.CausalLm;
import ai.nibble.nn.DenseWeight;
import ai.nibble.nn.Precision;
import ai.nibble.nn.Weight;
import ai.nibble.safetensors.SafetensorsFile;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Tensor;
import java.util.Arrays;
import java.util.Optional;

/**
 * The copy of the base's embedding or head that PEFT puts into a file beside an adapter on it
 * ({@code base_layer.weight}). It is not needed, but it has to be the base's: what PEFT loads it
 * into computes with it.
 */
final class CopiedTable {
  private static final int PIECE = 1 << 16;

  /** Two roundings to bfloat16, the coarsest dtype that either may have been held in. */
  private static final float RELATIVE = 1f / (1 << 8);

  /** Half of float16's smallest number. */
  private static final float ABSOLUTE = 1f / (1 << 25);

  private CopiedTable() {}

  /** Reads elements of the base's table, as {@code WeightSource.read}. */
  @FunctionalInterface
  interface Table {
    void read(long first, float[] out, int offset, int count);
  }

  /** What is wrong with a copy; empty if it is the table but for rounding. */
  static Optional<String> problem(SafetensorsFile file, String name, long[] shape, Table base) {
    long[] stored = file.tensor(name).dimensions();
    if (!Arrays.equals(stored, shape)) {
      return Optional.of(
          "tensor '"
              + name
              + "' has the shape "
              + Arrays.toString(stored)
              + ", expected the base's "
              + Arrays.toString(shape)
              + ": take the base that the adapter was trained on, resized like it");
    }
    long elements = Arrays.stream(shape).reduce(1, (a, b) -> a * b);
    float[] copy = new float[PIECE];
    float[] own = new float[PIECE];
    for (long first = 0; first < elements; first += PIECE) {
      int count = (int) Math.min(PIECE, elements - first);
      file.readFloats(name, first, copy, 0, count);
      base.read(first, own, 0, count);
      for (int i = 0; i < count; i++) {
        float bound = RELATIVE * Math.max(Math.abs(own[i]), Math.abs(copy[i])) + ABSOLUTE;
        if (!(Math.abs(own[i] - copy[i]) <= bound)) {
          return Optional.of(
              "tensor '"
                  + name
                  + "' is "
                  + copy[i]
                  + " at element "
                  + (first + i)
                  + " where the base has "
                  + own[i]
                  + ": take the base that the adapter was trained on");
        }
      }
    }
    return Optional.empty();
  }

  /** The embedding or head of a model. */
  static Table of(CausalLm model, String path) {
    Weight weight = model.adaptables().get(path).weight();
    if (weight instanceof DenseWeight dense) {
      return (first, out, offset, count) -> read(dense.tensor(), first, out, offset, count);
    }
    float[] all; // what is quantised is made once
    try (Tensor values =
        Tensor.empty(weight.device(), DType.FLOAT32, weight.outFeatures(), weight.inFeatures())) {
      weight.writeTo(values, 0, Precision.of(DType.FLOAT32));
      all = values.toFloats();
    }
    return (first, out, offset, count) ->
        System.arraycopy(all, Math.toIntExact(first), out, offset, count);
  }

  private static void read(Tensor table, long first, float[] out, int offset, int count) {
    try (Tensor flat = table.view(table.numel());
        Tensor part = flat.narrow(0, first, count);
        Tensor wide = part.to(DType.FLOAT32)) {
      System.arraycopy(wide.toFloats(), 0, out, offset, count);
    }
  }
}
