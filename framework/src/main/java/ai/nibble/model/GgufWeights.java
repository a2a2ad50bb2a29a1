package ai.nibble.model;

import ai.nibble.InvalidInputException;
import ai.nibble.gguf.GgmlType;
import ai.nibble.gguf.GgufFile;
import ai.nibble.gguf.GgufTensor;
import ai.nibble.tensor.DType;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.Consumer;

/**
 * Weights out of a GGUF file, decoded to float32 as they are read and given back the names and the
 * row order of Hugging Face.
 */
public final class GgufWeights implements WeightSource {
  private static final Place PLAIN = new Place(0, false, 0);

  private final GgufFile file;
  private final Parameters parameters;
  private final Map<String, Place> places = new HashMap<>();

  /**
   * Where a tensor lies, worked out once for the thousands of reads that it takes.
   *
   * @param begin its first element among those that are stored together
   * @param isPermuted whether its rows lie in llama.cpp's order
   * @param shift what is added to its values there
   */
  private record Place(long begin, boolean isPermuted, float shift) {}

  private GgufWeights(GgufFile file, Parameters parameters) {
    this.file = file;
    this.parameters = parameters;
    ModelConfig config = parameters.config();
    for (String name : parameters.names()) {
      places.put(
          name,
          new Place(
              expertBegin(name, parameters.get(name)),
              GgufLayout.isPermuted(config, name),
              GgufLayout.shift(config, name)));
    }
  }

  /**
   * Opens a file and checks it against a configuration: metadata, names, shapes and types.
   *
   * @param notices takes one line for everything that is chosen in the caller's place
   * @throws InvalidInputException if the file is damaged or does not fit, with a line for each
   *     reason
   */
  public static GgufWeights open(Path gguf, ModelConfig config, Consumer<String> notices) {
    GgufFile file = GgufFile.open(gguf);
    try {
      new GgufConfigCheck(file, config, notices).run();
      Parameters parameters =
          Parameters.match(
              gguf.toString(), config, stored(file, config), (a, b) -> same(file, a, b), notices);
      return new GgufWeights(file, parameters);
    } catch (RuntimeException e) {
      file.close();
      throw e;
    }
  }

  /** The file itself, open as long as this is. */
  public GgufFile file() {
    return file;
  }

  @Override
  public ModelConfig config() {
    return parameters.config();
  }

  @Override
  public Set<String> names() {
    return parameters.names();
  }

  @Override
  public long[] shape(String name) {
    return parameters.shape(name);
  }

  @Override
  public DType dtype(String name) {
    return parameters.get(name).dtype().orElseThrow();
  }

  @Override
  public StoredForm storedForm(String name) {
    GgufTensor tensor = file.tensor(parameters.get(name).storedName());
    return new StoredForm(tensor.type().name(), tensor.bytes());
  }

  @Override
  public void read(String name, long firstElement, float[] out, int offset, int count) {
    StoredTensor tensor = parameters.get(name, firstElement, out, offset, count);
    Place place = places.getOrDefault(name, PLAIN); // a tied head is the embedding
    if (!place.isPermuted()) {
      file.dequantize(tensor.storedName(), firstElement + place.begin(), count, out, offset);
      for (int i = offset; i < offset + count && place.shift() != 0; i++) {
        out[i] -= place.shift();
      }
      return;
    }
    long width = tensor.shape().size() == 1 ? 1 : tensor.shape().get(1);
    for (int done = 0; done < count; ) {
      long row = (firstElement + done) / width;
      long column = (firstElement + done) % width;
      int n = (int) Math.min(width - column, count - done);
      long there = GgufLayout.ggufRow(row, parameters.config().headDim()) * width + column;
      file.dequantize(tensor.storedName(), there, n, out, offset + done);
      done += n;
    }
  }

  /** The first element of an expert's tensor among those of all, where all share one. */
  private long expertBegin(String name, StoredTensor tensor) {
    long elements = tensor.shape().stream().reduce(1L, (a, b) -> a * b);
    return GgufLayout.expertPart(config(), name)
        .filter(part -> part.ggufName().equals(tensor.storedName()))
        .map(part -> part.expert() * elements)
        .orElse(0L);
  }

  @Override
  public void close() {
    file.close();
  }

  private static Map<String, StoredTensor> stored(GgufFile file, ModelConfig config) {
    Map<String, StoredTensor> stored = new LinkedHashMap<>();
    for (String name : file.names()) {
      if (GgufHyperparameters.isRopeTensor(name)) {
        continue; // checked against the configuration, from which it follows
      }
      GgufTensor tensor = file.tensor(name);
      List<String> experts = GgufLayout.expertNames(config, name);
      if (tensor.shape().size() == 3 && tensor.shape().get(0) == experts.size()) {
        StoredTensor each =
            new StoredTensor(
                name, tensor.shape().subList(1, 3), dtype(tensor.type()), tensor.type().name());
        experts.forEach(expert -> stored.put(expert, each));
        continue;
      }
      // A name without counterpart stays as it is, and is refused as not part of the model.
      stored.put(
          GgufLayout.huggingFaceName(config, name).orElse(name),
          new StoredTensor(name, tensor.shape(), dtype(tensor.type()), tensor.type().name()));
    }
    return stored;
  }

  private static Optional<DType> dtype(GgmlType type) {
    if (!type.isSupported()) {
      return Optional.empty();
    }
    return Optional.of(
        switch (type) {
          case F16 -> DType.FLOAT16;
          case BF16 -> DType.BFLOAT16;
          default -> DType.FLOAT32;
        });
  }

  private static boolean same(GgufFile file, StoredTensor a, StoredTensor b) {
    return SameValues.of(
        a,
        b,
        (tensor, first, out, count) -> file.dequantize(tensor.storedName(), first, count, out, 0));
  }
}
