package ai.nibble.model;

import ai.nibble.InvalidInputException;
import ai.nibble.quant.stored.StoredMatrix;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import java.util.Optional;

/**
 * A base with more tokens: embedding and output head have a row for each, and a row that is not
 * stored is the mean of the stored ones. transformers draws it from a normal distribution around
 * that mean with a billionth of the rows' covariance (Hewitt 2021); the mean itself is the same to
 * rounding, and needs no random numbers.
 */
final class ExtendedVocabulary extends WeightView {
  private static final int ROWS = 1 << 8;

  private final ModelConfig config;
  private final Map<String, float[]> means = new HashMap<>();

  /**
   * @param base taken over
   * @param extended the configuration with the vocabulary as it shall be, at least as large
   * @throws InvalidInputException if a table of the base that has to grow is quantised
   */
  ExtendedVocabulary(WeightSource base, ModelConfig extended) {
    super(base);
    this.config = base.config().withVocabulary(extended);
    boolean grows = extended.vocabSize() > base.config().vocabSize();
    for (String name : base.names()) {
      if (grows && isTable(name) && base.quantized(name).isPresent()) {
        throw new InvalidInputException(
            "'"
                + name
                + "' is stored quantised, which takes no new tokens: take the base that was not"
                + " quantised");
      }
    }
  }

  private static boolean isTable(String name) {
    return name.equals(DecoderParameters.EMBEDDING) || name.equals(DecoderParameters.HEAD);
  }

  @Override
  public ModelConfig config() {
    return config;
  }

  @Override
  public long[] shape(String name) {
    long[] shape = base.shape(name);
    if (isTable(name)) {
      shape[0] = config.vocabSize();
    }
    return shape;
  }

  @Override
  public Optional<StoredMatrix> quantized(String name) {
    return base.quantized(name);
  }

  @Override
  public StoredForm storedForm(String name) {
    return base.storedForm(name);
  }

  @Override
  public Optional<String> quantization() {
    return base.quantization();
  }

  @Override
  public void read(String name, long firstElement, float[] out, int offset, int count) {
    if (!isTable(name)) {
      super.read(name, firstElement, out, offset, count);
      return;
    }
    long stored = Arrays.stream(base.shape(name)).reduce(1, (a, b) -> a * b);
    int there = (int) Math.max(0, Math.min(count, stored - firstElement));
    if (there > 0) {
      base.read(name, firstElement, out, offset, there);
    }
    if (there < count) {
      float[] mean = mean(name);
      for (int i = there; i < count; i++) {
        out[offset + i] = mean[(int) ((firstElement + i) % mean.length)];
      }
    }
  }

  /** Summed in float64, in the rows' order. */
  private synchronized float[] mean(String name) {
    float[] known = means.get(name);
    if (known != null) {
      return known;
    }
    long[] shape = base.shape(name);
    int width = Math.toIntExact(shape[1]);
    double[] sums = new double[width];
    float[] rows = new float[ROWS * width];
    for (long row = 0; row < shape[0]; row += ROWS) {
      int n = (int) Math.min(ROWS, shape[0] - row) * width;
      base.read(name, row * width, rows, 0, n);
      for (int i = 0; i < n; i++) {
        sums[i % width] += rows[i];
      }
    }
    float[] mean = new float[width];
    for (int c = 0; c < width; c++) {
      mean[c] = (float) (sums[c] / shape[0]);
    }
    means.put(name, mean);
    return mean;
  }

  @Override
  public void close() {
    base.close();
  }
}
