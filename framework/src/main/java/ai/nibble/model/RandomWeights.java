package ai.nibble.model;

import static ai.nibble.SplitMix64.GOLDEN_GAMMA;
import static ai.nibble.SplitMix64.mix;

import ai.nibble.InvalidInputException;
import ai.nibble.nn.NormScale;
import ai.nibble.tensor.DType;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.function.Consumer;

/**
 * Weights of a model that was never trained, as transformers initialises one: linears and embedding
 * normal with mean 0 and standard deviation {@code initializer_range}, norms 1 (Gemma's, which are
 * distances from 1, 0), biases 0, and the embedding of {@code pad_token_id} 0.
 *
 * <p>Each value is a function of the seed, the tensor's name and the element's index alone: the
 * same on every machine, however many threads read, and in whatever order.
 */
public final class RandomWeights implements WeightSource {
  private final ModelConfig config;
  private final long seed;
  private final Map<String, List<Long>> shapes;

  /**
   * @param config its {@code initializerRange} is at least 0 and finite
   * @param place where the configuration is from, for the message
   * @throws InvalidInputException if {@code initializerRange} is out of range
   */
  RandomWeights(ModelConfig config, long seed, String place) {
    double std = config.initializerRange();
    if (!(std >= 0 && std <= Float.MAX_VALUE)) {
      throw new InvalidInputException(
          place + ": 'initializer_range' is " + std + ", expected a finite number from 0 up");
    }
    this.config = config;
    this.seed = seed;
    this.shapes = DecoderParameters.shapes(config);
  }

  /**
   * Weights for the configuration of a directory; weights that are there are not looked at.
   *
   * @param directory holds {@code config.json}
   * @param notices takes one line for everything that is ignored or chosen in the reader's place
   * @throws InvalidInputException with one line for each problem of the configuration
   */
  public static RandomWeights of(Path directory, long seed, Consumer<String> notices) {
    Path file = directory.resolve(ModelStore.CONFIG);
    return new RandomWeights(ModelConfig.read(file, notices), seed, file.toString());
  }

  @Override
  public ModelConfig config() {
    return config;
  }

  @Override
  public Set<String> names() {
    return Collections.unmodifiableSet(shapes.keySet());
  }

  @Override
  public long[] shape(String name) {
    List<Long> shape = shapes.get(name);
    if (shape == null) {
      throw new IllegalArgumentException("the model has no tensor '" + name + "'");
    }
    return shape.stream().mapToLong(Long::longValue).toArray();
  }

  @Override
  public DType dtype(String name) {
    shape(name);
    return DType.FLOAT32;
  }

  @Override
  public void read(String name, long firstElement, float[] out, int offset, int count) {
    long[] shape = shape(name);
    long elements = 1;
    for (long size : shape) {
      elements *= size;
    }
    Objects.checkFromIndexSize(firstElement, (long) count, elements);
    Objects.checkFromIndexSize(offset, count, out.length);
    if (shape.length == 1) {
      boolean zero = name.endsWith(".bias") || config.form().norms().scale() == NormScale.OFFSET;
      Arrays.fill(out, offset, offset + count, zero ? 0 : 1);
      return;
    }
    normals(seed * GOLDEN_GAMMA + hash(name), firstElement, out, offset, count);
    if (name.equals(DecoderParameters.EMBEDDING) && config.padTokenId().isPresent()) {
      long begin = config.padTokenId().getAsInt() * shape[1];
      for (long i = Math.max(begin, firstElement);
          i < Math.min(begin + shape[1], firstElement + count);
          i++) {
        out[offset + (int) (i - firstElement)] = 0;
      }
    }
  }

  /** Elements 2k and 2k + 1 are one pair of Box and Muller 1958, by StrictMath. */
  private void normals(long key, long first, float[] out, int offset, int count) {
    double std = config.initializerRange();
    long pair = -1;
    double radius = 0;
    double angle = 0;
    for (int i = 0; i < count; i++) {
      long element = first + i;
      if (element >> 1 != pair) {
        pair = element >> 1;
        double u = ((mix(key + GOLDEN_GAMMA * (2 * pair + 1)) >>> 11) + 1) * 0x1p-53;
        angle = 2 * Math.PI * ((mix(key + GOLDEN_GAMMA * (2 * pair + 2)) >>> 11) * 0x1p-53);
        radius = std * StrictMath.sqrt(-2 * StrictMath.log(u));
      }
      boolean even = (element & 1) == 0;
      out[offset + i] = (float) (radius * (even ? StrictMath.cos(angle) : StrictMath.sin(angle)));
    }
  }

  /** FNV-1a over the name's characters, 64 bits, finalised. */
  private static long hash(String name) {
    long h = 0xcbf29ce484222325L;
    for (int i = 0; i < name.length(); i++) {
      h = (h ^ name.charAt(i)) * 0x100000001b3L;
    }
    return mix(h);
  }

  @Override
  public void close() {}
}
