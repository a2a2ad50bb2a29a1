package ai.nibble.model;

import ai.nibble.FileProblem;
import ai.nibble.InvalidInputException;
import ai.nibble.gguf.GgufFile;
import ai.nibble.quant.QuantConfig;
import ai.nibble.quant.stored.StoredMatrix;
import ai.nibble.tensor.Bfloat16;
import ai.nibble.tensor.DType;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.Set;
import java.util.function.Consumer;
import java.util.stream.Stream;
import org.slf4j.LoggerFactory;

/**
 * The weights of a base model as float32 values, whatever file they lie in.
 *
 * <p>Names, shapes and order of elements are those of a Hugging Face model: {@code
 * model.layers.0.self_attn.q_proj.weight} is {@code [out, in]}, row-major. The set of names is
 * exactly what {@link #config} asks for: a source that lacks a tensor, has another shape or holds
 * tensors the configuration knows nothing of is refused when opened. Nothing is read before it is
 * asked for, and all methods but {@link #close} may be called from many threads at once.
 *
 * <p>The output head follows transformers 5.23 where the file and {@code tie_word_embeddings}
 * disagree, each time with a notice: a tied head that is stored with other values than the
 * embedding is taken as untied; where only one of the two is stored it serves as both (transformers
 * would draw an untied head at random). {@link #config} says what came out.
 */
public interface WeightSource extends AutoCloseable {

  /** The model's configuration, with {@code tieWordEmbeddings} as the weights have it. */
  ModelConfig config();

  /** The tensors, embedding first, then layer by layer; {@code lm_head.weight} only if untied. */
  Set<String> names();

  /**
   * Sizes of a tensor, outermost first; a fresh array.
   *
   * @throws IllegalArgumentException if there is no such name
   */
  long[] shape(String name);

  /**
   * The dtype a tensor is stored in; {@code FLOAT32}, which they decode to, for GGUF's block types.
   *
   * @throws IllegalArgumentException if there is no such name
   */
  DType dtype(String name);

  /**
   * Reads consecutive elements of the row-major tensor as float32; exact for float32, float16,
   * bfloat16 and GGUF types, rounded for float64.
   *
   * @param firstElement index of the first element
   * @param out takes the values from {@code offset} on
   * @throws IllegalArgumentException if there is no such name
   * @throws IndexOutOfBoundsException if the elements are not all in the tensor and in {@code out}
   * @throws InvalidInputException if the file has been cut short since it was opened
   * @throws UncheckedIOException if it cannot be read
   */
  void read(String name, long firstElement, float[] out, int offset, int count);

  /**
   * The dtype in which a loaded model holds a frozen tensor: bfloat16 and float32 stay; others (a
   * GGUF's block types, float16) become the dtype that the configuration names, if that is
   * bfloat16, else float32.
   *
   * @throws IllegalArgumentException if there is no such name
   */
  default DType heldDtype(String name) {
    DType stored = dtype(name);
    if (stored == DType.BFLOAT16 || config().dtype() != DType.BFLOAT16) {
      return stored == DType.BFLOAT16 ? DType.BFLOAT16 : DType.FLOAT32;
    }
    return DType.BFLOAT16;
  }

  /**
   * How a matrix lies quantised in the files; empty where it is stored as plain values. {@link
   * #read} gives such a matrix's dequantised values.
   *
   * @throws IllegalArgumentException if there is no such name
   */
  default Optional<StoredMatrix> quantized(String name) {
    return Optional.empty();
  }

  /**
   * How a tensor lies in the files, for people: a type's name, or a format's description, and the
   * bytes that it takes there.
   *
   * @throws IllegalArgumentException if there is no such name
   */
  default StoredForm storedForm(String name) {
    long elements = 1;
    for (long size : shape(name)) {
      elements *= size;
    }
    return new StoredForm(dtype(name).torchName(), elements * dtype(name).bytes());
  }

  /**
   * How a tensor lies in a file.
   *
   * @param type its type as people know it
   * @param bytes that it takes
   */
  record StoredForm(String type, long bytes) {}

  /** How quantised matrices are held, in words; empty where the files have plain values only. */
  default Optional<String> quantization() {
    return Optional.empty();
  }

  /**
   * What is left of a wish for quantised linears: nothing where the files hold quantised ones,
   * which are used as they are. transformers settles it the same way.
   *
   * @param notices takes one line where the files decide
   */
  default Optional<QuantConfig> settle(Optional<QuantConfig> asked, Consumer<String> notices) {
    Optional<String> stored = quantization();
    if (stored.isEmpty()) {
      return asked;
    }
    boolean other = asked.isPresent() && !asked.get().description().equals(stored.get());
    notices.accept(
        "the base's weights are quantised already ("
            + stored.get()
            + ") and used as they are"
            + (other ? "; " + asked.get().description() + " was asked for: not followed" : ""));
    return Optional.empty();
  }

  /** As {@link #read}, the values rounded to {@link #heldDtype}. */
  default void readHeld(String name, long firstElement, float[] out, int offset, int count) {
    read(name, firstElement, out, offset, count);
    if (heldDtype(name) == DType.BFLOAT16) {
      for (int i = offset; i < offset + count; i++) {
        out[i] = Bfloat16.round(out[i]);
      }
    }
  }

  /** Releases the files; reading afterwards fails. */
  @Override
  void close();

  /**
   * Opens a model directory or a GGUF file; notices go to this class's log.
   *
   * @throws InvalidInputException if the path holds no model, or one whose parts do not fit
   */
  static WeightSource open(Path base) {
    return open(base, LoggerFactory.getLogger(WeightSource.class)::warn);
  }

  /**
   * Opens a model directory or a GGUF file, which {@code config.json} and the tokenizer's files may
   * lie beside. Of a directory without safetensors its only GGUF file is taken.
   *
   * @param notices takes one line for everything that is ignored or chosen in the caller's place
   * @throws InvalidInputException if the path holds no model, or one whose parts do not fit
   */
  static WeightSource open(Path base, Consumer<String> notices) {
    requireModel(base);
    Optional<ExtendedBase> extended = ExtendedBase.read(base);
    if (extended.isPresent()) {
      return extended(extended.get(), read(base, notice -> {}), notices);
    }
    ModelConfig config = read(directory(base), notices);
    if (!Files.isDirectory(base)) {
      return GgufWeights.open(base, config, notices);
    }
    Path gguf = onlyGguf(base);
    return gguf == null
        ? SafetensorsWeights.open(base, config, notices)
        : GgufWeights.open(gguf, config, notices);
  }

  private static WeightSource extended(
      ExtendedBase extended, ModelConfig config, Consumer<String> notices) {
    WeightSource source = open(extended.base(), notices);
    try {
      return new ExtendedVocabulary(source, config);
    } catch (RuntimeException e) {
      source.close();
      throw e;
    }
  }

  /**
   * The directory of a base's configuration and tokenizer: itself, or where its file lies. For a
   * GGUF file that has none of them beside it, one in the user's cache, made from the file's own
   * metadata.
   *
   * @throws InvalidInputException if such a file is damaged or of a kind that is not supported, or
   *     only a part of what it needs lies beside it
   */
  static Path directory(Path base) {
    boolean isDirectory = Files.isDirectory(base);
    Path beside = isDirectory ? base : base.toAbsolutePath().getParent();
    boolean config = Files.exists(beside.resolve(ModelStore.CONFIG));
    Path gguf = config ? null : isDirectory ? onlyGguf(base) : base;
    if (gguf == null || !isGguf(gguf) || !Files.isRegularFile(gguf)) {
      return beside;
    }
    if (Files.exists(beside.resolve("tokenizer.json"))) {
      throw new InvalidInputException(
          gguf
              + ": has a tokenizer.json beside it but no config.json, expected both or none: put"
              + " the original model's config.json there, or the file into a directory of its own");
    }
    return GgufAlone.directory(gguf);
  }

  /**
   * Looks whether something can be a model, before any file of it is looked for.
   *
   * @throws InvalidInputException if there is nothing, an empty directory, or a file of another
   *     kind
   */
  static void requireModel(Path base) {
    if (!Files.exists(base)) {
      throw new InvalidInputException(
          base
              + ": there is no such model, expected a directory with config.json and safetensors,"
              + " or a .gguf file: check the path");
    }
    if (!Files.isDirectory(base) && !isGguf(base)) {
      throw new InvalidInputException(
          base
              + ": is a file, expected a directory with config.json and safetensors, or a .gguf"
              + " file");
    }
    if (Files.isDirectory(base) && isEmpty(base)) {
      throw new InvalidInputException(
          base
              + ": is an empty directory, expected one with config.json and safetensors, or a .gguf"
              + " file: check the path");
    }
  }

  private static boolean isEmpty(Path directory) {
    try (Stream<Path> files = Files.list(directory)) {
      return files.findFirst().isEmpty();
    } catch (IOException e) {
      throw new InvalidInputException(
          directory + ": cannot be listed: " + FileProblem.reason(e) + ": check its permissions",
          e);
    }
  }

  private static ModelConfig read(Path directory, Consumer<String> notices) {
    return ModelConfig.read(directory.resolve("config.json"), notices);
  }

  private static boolean isGguf(Path file) {
    return file.getFileName().toString().toLowerCase(Locale.ROOT).endsWith(".gguf");
  }

  /** The GGUF file of a directory that has no safetensors; null where there is none. */
  private static Path onlyGguf(Path directory) {
    List<Path> files;
    try (Stream<Path> listing = Files.list(directory)) {
      files = listing.filter(Files::isRegularFile).sorted().toList();
    } catch (IOException e) {
      throw new InvalidInputException(
          directory + ": cannot be listed: " + FileProblem.reason(e), e);
    }
    if (files.stream().anyMatch(WeightSource::isSafetensors)) {
      return null;
    }
    List<Path> ggufs = files.stream().filter(WeightSource::isGguf).toList();
    if (ggufs.size() > 1 && GgufFile.files(ggufs.get(0)).equals(ggufs)) {
      return ggufs.get(0); // the parts of one model
    }
    if (ggufs.size() > 1) {
      throw new InvalidInputException(
          directory
              + ": holds "
              + ggufs.size()
              + " GGUF files, expected one: name the file to use, such as "
              + ggufs.get(0));
    }
    return ggufs.isEmpty() ? null : ggufs.get(0);
  }

  private static boolean isSafetensors(Path file) {
    String name = file.getFileName().toString();
    return name.endsWith(".safetensors") || name.endsWith(".safetensors.index.json");
  }
}
