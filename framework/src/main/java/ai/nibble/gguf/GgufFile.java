package ai.nibble.gguf;

import ai.nibble.FileProblem;
import ai.nibble.InvalidInputException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.FloatBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.stream.Collectors;

/**
 * One open GGUF model of any size, every rule of the format checked on opening: a file, or the
 * parts of a split model, opened by the first.
 *
 * <p>Opening reads only what precedes the data, and dequantising only the rows asked for, into a
 * buffer of some kilobytes. All methods may be called from several threads at once; what reads the
 * file raises {@link IllegalStateException} after {@link #close} and {@link InvalidInputException}
 * if the file was truncated meanwhile. As with every Java file channel, interrupting a thread while
 * it reads closes the file for all of them.
 */
public final class GgufFile implements AutoCloseable {
  /** Small enough that a chunk stays in a core's cache between copying and decoding. */
  private static final int CHUNK_BYTES = 1 << 14;

  /** A file of the model: all of it, or a part. */
  private record Part(OpenFile file, GgufReader.Contents contents) {}

  private final List<Part> parts;
  private final Map<String, GgufTensor> tensors;
  private final Map<String, OpenFile> files;

  private GgufFile(List<Part> parts, Map<String, GgufTensor> tensors, Map<String, OpenFile> files) {
    this.parts = List.copyOf(parts);
    this.tensors = Collections.unmodifiableMap(tensors);
    this.files = files;
  }

  /**
   * Opens and checks a model.
   *
   * @param path of the file, of a split model its first part; may be a symbolic link
   * @throws InvalidInputException if it is missing, no regular file, another part than the first,
   *     lacks a part, or breaks a rule of the format
   * @throws UncheckedIOException if it cannot be read
   */
  public static GgufFile open(Path path) {
    List<Part> parts = new ArrayList<>();
    boolean done = false;
    try {
      parts.add(part(path));
      GgufMetadata metadata = parts.get(0).contents.metadata();
      List<Path> others = SplitParts.after(path, metadata);
      for (Path other : others) {
        parts.add(part(other));
        SplitParts.require(
            other,
            parts.get(parts.size() - 1).contents.metadata(),
            parts.size(),
            others.size() + 1);
      }
      GgufFile opened = join(parts);
      if (!others.isEmpty()) {
        SplitParts.requireTensors(path, metadata, opened.tensors.size());
      }
      done = true;
      return opened;
    } finally {
      if (!done) {
        parts.forEach(part -> closeAfterFailure(part.file));
      }
    }
  }

  /** The files of the model that a file is, or is named as a part of; they need not be there. */
  public static List<Path> files(Path path) {
    return SplitParts.named(path);
  }

  private static Part part(Path path) {
    if (!Files.isRegularFile(path)) {
      throw new InvalidInputException(
          path
              + (Files.exists(path) ? ": not a regular file" : ": no such file")
              + ", expected a .gguf file");
    }
    OpenFile file = null;
    try {
      file = new OpenFile(path);
      Part opened = new Part(file, GgufReader.read(file));
      file = null;
      return opened;
    } catch (IOException e) {
      throw new UncheckedIOException(path + ": cannot be read: " + FileProblem.reason(e), e);
    } finally {
      if (file != null) {
        closeAfterFailure(file);
      }
    }
  }

  private static GgufFile join(List<Part> parts) {
    Map<String, GgufTensor> tensors = new LinkedHashMap<>();
    Map<String, OpenFile> files = new HashMap<>();
    for (Part part : parts) {
      part.contents
          .tensors()
          .forEach(
              (name, tensor) -> {
                if (tensors.put(name, tensor) != null) {
                  throw new InvalidInputException(
                      "%s: tensor %s is in another part too, expected once; get all parts of one model"
                          .formatted(part.file.path(), Cursor.shown(name)));
                }
                files.put(name, part.file);
              });
    }
    return new GgufFile(parts, tensors, files);
  }

  /** What made the opening fail is what matters. */
  private static void closeAfterFailure(OpenFile file) {
    try {
      file.close();
    } catch (IOException ignored) {
      // nothing was written
    }
  }

  /** The file this was opened from, as given; of a split model the first part. */
  public Path path() {
    return parts.get(0).file.path();
  }

  /** The format's version, 2 or 3. */
  public int version() {
    return parts.get(0).contents.version();
  }

  /** Of a split model the first part's. */
  public GgufMetadata metadata() {
    return parts.get(0).contents.metadata();
  }

  /** The tensors' names in the order of their bytes, part by part. */
  public Set<String> names() {
    return tensors.keySet();
  }

  /** The tensors by name in the order of their bytes; cannot be changed. */
  public Map<String, GgufTensor> tensors() {
    return tensors;
  }

  /**
   * @throws InvalidInputException if there is no tensor of that name
   */
  public GgufTensor tensor(String name) {
    GgufTensor tensor = tensors().get(name);
    if (tensor == null) {
      throw new InvalidInputException(
          "%s: no tensor %s among its %d tensors"
              .formatted(path(), Cursor.shown(name), tensors().size()));
    }
    return tensor;
  }

  /**
   * Values of a tensor as float32, {@code count} from {@code firstElement} on. Ranges of whole rows
   * or blocks are fastest; others decode a block at either end for a part of it.
   *
   * @param firstElement index in row-major order
   * @param out receives the values from {@code offset} on
   * @throws InvalidInputException if there is no such tensor, its type is not supported, or the
   *     file was truncated
   * @throws IndexOutOfBoundsException if a range leaves the tensor or {@code out}
   */
  public void dequantize(String name, long firstElement, int count, float[] out, int offset) {
    GgufTensor tensor = supported(tensor(name));
    Objects.checkFromIndexSize(firstElement, count, tensor.elements());
    Objects.checkFromIndexSize(offset, count, out.length);
    int block = tensor.type().blockElements();
    byte[] chunk = chunk(tensor.type(), count);
    long at = firstElement;
    long end = firstElement + count;
    if (at % block != 0) {
      at += partOfBlock(tensor, at, end, chunk, out, offset);
    }
    while (end - at >= block) {
      int blocks = (int) Math.min((end - at) / block, chunk.length / tensor.type().blockBytes());
      decode(tensor, at / block, blocks, chunk, out, offset + (int) (at - firstElement));
      at += (long) blocks * block;
    }
    if (at < end) {
      partOfBlock(tensor, at, end, chunk, out, offset + (int) (at - firstElement));
    }
  }

  /**
   * The same into a buffer, by absolute index: its position and limit stay as they are, so threads
   * may fill disjoint ranges of one buffer.
   *
   * @param out receives the values from index {@code offset} on
   */
  public void dequantize(String name, long firstElement, int count, FloatBuffer out, int offset) {
    GgufTensor tensor = supported(tensor(name));
    Objects.checkFromIndexSize(firstElement, count, tensor.elements());
    Objects.checkFromIndexSize(offset, count, out.limit());
    float[] values = new float[Math.min(count, CHUNK_BYTES / Float.BYTES)];
    for (int done = 0; done < count; ) {
      int n = Math.min(values.length, count - done);
      dequantize(name, firstElement + done, n, values, 0);
      out.put(offset + done, values, 0, n);
      done += n;
    }
  }

  /** Bytes of a tensor's blocks, from {@code offset} on, to the start of {@code out}. */
  void readBlocks(GgufTensor tensor, long offset, byte[] out, int count) {
    Objects.checkFromIndexSize(offset, (long) count, tensor.bytes());
    files.get(tensor.name()).read(tensor.position() + offset, out, 0, count);
  }

  /** Decodes {@code [at, end)} or as much of it as lies in the block of {@code at}. */
  private int partOfBlock(
      GgufTensor tensor, long at, long end, byte[] chunk, float[] out, int offset) {
    int block = tensor.type().blockElements();
    float[] whole = new float[block];
    decode(tensor, at / block, 1, chunk, whole, 0);
    int within = (int) (at % block);
    int n = (int) Math.min(block - within, end - at);
    System.arraycopy(whole, within, out, offset, n);
    return n;
  }

  private void decode(
      GgufTensor tensor, long firstBlock, int blocks, byte[] chunk, float[] out, int offset) {
    int bytes = tensor.type().blockBytes();
    files.get(tensor.name()).read(tensor.position() + firstBlock * bytes, chunk, 0, blocks * bytes);
    BlockDecoder.decode(tensor.type(), chunk, blocks, out, offset);
  }

  private static byte[] chunk(GgmlType type, int count) {
    int most = CHUNK_BYTES / type.blockBytes();
    return new byte[Math.max(1, Math.min(count / type.blockElements(), most)) * type.blockBytes()];
  }

  private GgufTensor supported(GgufTensor tensor) {
    if (!tensor.type().isSupported()) {
      throw new InvalidInputException(
          "%s: tensor %s has type %s (number %d), expected one of %s; convert the model to Q8_0"
              .formatted(
                  path(),
                  Cursor.shown(tensor.name()),
                  tensor.type(),
                  tensor.type().number(),
                  Arrays.stream(GgmlType.values())
                      .filter(GgmlType::isSupported)
                      .map(GgmlType::toString)
                      .collect(Collectors.joining(", ", "[", "]"))));
    }
    return tensor;
  }

  @Override
  public void close() {
    for (Part part : parts) {
      try {
        part.file.close();
      } catch (IOException e) {
        throw new UncheckedIOException(
            part.file.path() + ": cannot be closed: " + FileProblem.reason(e), e);
      }
    }
  }
}
