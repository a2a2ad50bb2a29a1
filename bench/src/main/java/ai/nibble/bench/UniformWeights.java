package ai.nibble.bench;

import ai.nibble.SplitMix64;
import ai.nibble.model.ModelConfig;
import ai.nibble.model.RandomWeights;
import ai.nibble.model.WeightSource;
import ai.nibble.tensor.DType;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Set;

/**
 * Weights of a model's shape without a model: uniform with the standard deviation that the
 * configuration initialises with, made as fast as they are read. Speed and memory do not depend on
 * what a model has learned.
 */
final class UniformWeights implements WeightSource {
  private final RandomWeights shapes;

  /**
   * @param directory holds {@code config.json}
   */
  UniformWeights(Path directory) {
    this.shapes = RandomWeights.of(directory, 0, System.err::println);
  }

  @Override
  public ModelConfig config() {
    return shapes.config();
  }

  @Override
  public Set<String> names() {
    return shapes.names();
  }

  @Override
  public long[] shape(String name) {
    return shapes.shape(name);
  }

  @Override
  public DType dtype(String name) {
    return shapes.dtype(name);
  }

  @Override
  public void read(String name, long firstElement, float[] out, int offset, int count) {
    if (shape(name).length == 1) {
      Arrays.fill(out, offset, offset + count, 1);
      return;
    }
    float width = (float) (config().initializerRange() * Math.sqrt(12)) * 0x1p-32f;
    long key = name.hashCode() * SplitMix64.GOLDEN_GAMMA;
    for (int i = 0; i < count; i++) {
      int bits = (int) SplitMix64.mix(key + firstElement + i);
      out[offset + i] = bits * width;
    }
  }

  @Override
  public void close() {
    shapes.close();
  }
}
