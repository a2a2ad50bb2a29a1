package ai.nibble.safetensors;

import ai.nibble.BoundedInput;
import ai.nibble.FileProblem;
import ai.nibble.InvalidInputException;
import java.io.BufferedInputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.ClosedChannelException;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Objects;
import java.util.OptionalLong;
import java.util.Set;
import java.util.concurrent.atomic.AtomicReferenceArray;

/**
 * One open safetensors file of any size, every rule of the format checked on opening.
 *
 * <p>There are two ways to the bytes. {@link #read} and {@link #readFloats} copy out through the
 * file channel: where the file was truncated after opening they raise an exception. {@link #bytes}
 * gives a memory-mapped window without copying; touching a window of a file that was truncated
 * meanwhile raises {@link InternalError} in Java code, and kills the process where native code
 * reads it, so a window must not be handed to native code unless nobody else can write the file.
 *
 * <p>All methods may be called from several threads. As with every Java file channel, interrupting
 * a thread while it reads closes the file for all of them.
 */
public final class SafetensorsFile implements AutoCloseable {
  /** The reference's limit on the header. */
  static final long MAX_HEADER_BYTES = 100_000_000;

  /** The most {@link #bytes} gives at once. */
  public static final int MAX_WINDOW = 1 << 30;

  private final Path path;
  private final FileChannel channel;
  private final long bufferStart;
  private final Map<String, String> metadata;
  private final Map<String, SafetensorsTensor> tensors;

  /** Window i maps the file from i GiB on, for up to 2 GiB − 1; made on first use. */
  private final AtomicReferenceArray<ByteBuffer> windows;

  private SafetensorsFile(
      Path path, FileChannel channel, long bufferStart, HeaderParser.Header header, long size) {
    this.path = path;
    this.channel = channel;
    this.bufferStart = bufferStart;
    this.metadata = Collections.unmodifiableMap(header.metadata());
    Map<String, SafetensorsTensor> byName = new LinkedHashMap<>();
    header.tensors().forEach(tensor -> byName.put(tensor.name(), tensor));
    this.tensors = Collections.unmodifiableMap(byName);
    this.windows = new AtomicReferenceArray<>((int) (size / MAX_WINDOW) + 1);
  }

  /**
   * Opens and checks a file.
   *
   * @throws InvalidInputException if it is missing, no regular file, or breaks a rule of the format
   * @throws UncheckedIOException if it cannot be read
   */
  public static SafetensorsFile open(Path path) {
    if (!Files.isRegularFile(path)) {
      throw new InvalidInputException(
          Files.exists(path)
              ? path + ": not a regular file, expected a .safetensors file"
              : path + ": no such file, expected a .safetensors file");
    }
    FileChannel channel = null;
    try {
      channel = FileChannel.open(path, StandardOpenOption.READ);
      SafetensorsFile file = open(path, channel);
      channel = null;
      return file;
    } catch (IOException e) {
      throw new UncheckedIOException(path + ": cannot be read: " + FileProblem.reason(e), e);
    } finally {
      closeQuietly(channel);
    }
  }

  private static SafetensorsFile open(Path path, FileChannel channel) throws IOException {
    long size = channel.size();
    ByteBuffer prefix = ByteBuffer.allocate(ForeignContent.PREFIX).order(ByteOrder.LITTLE_ENDIAN);
    while (prefix.hasRemaining() && channel.read(prefix, prefix.position()) > 0) {}
    prefix.flip();
    byte[] start = new byte[prefix.limit()];
    prefix.get(0, start);
    if (size < 8 || prefix.limit() < 8) {
      throw unlike(path, start, "%d bytes, expected at least 8".formatted(size));
    }
    long headerBytes = prefix.getLong(0);
    if (headerBytes < 0 || headerBytes > MAX_HEADER_BYTES) {
      throw unlike(
          path,
          start,
          "declares a header of %s bytes, expected at most %d"
              .formatted(Long.toUnsignedString(headerBytes), MAX_HEADER_BYTES));
    }
    if (headerBytes > size - 8) {
      throw unlike(
          path,
          start,
          "declares a header of %d bytes, but only %d follow".formatted(headerBytes, size - 8));
    }
    if (headerBytes < 2 || start[8] != '{') {
      throw unlike(
          path,
          start,
          headerBytes == 0 ? "has a header of 0 bytes" : "the header does not start with '{'");
    }
    long bufferStart = 8 + headerBytes;
    BufferedInputStream input =
        new BufferedInputStream(new BoundedInput(channel, 8, bufferStart), 1 << 16);
    HeaderParser.Header header = HeaderParser.parse(path, input, size - bufferStart);
    return new SafetensorsFile(path, channel, bufferStart, header, size);
  }

  private static InvalidInputException unlike(Path path, byte[] start, String seen) {
    String looks =
        ForeignContent.describe(start)
            .map(kind -> "it looks like " + kind)
            .orElse("it is truncated or damaged; download it again");
    return new InvalidInputException(
        "%s: not a safetensors file (%s): %s".formatted(path, seen, looks));
  }

  /** The file this was opened from, as given. */
  public Path path() {
    return path;
  }

  /** The header's {@code __metadata__}, in its order; empty where there is none. */
  public Map<String, String> metadata() {
    return metadata;
  }

  /** The tensors' names in the order of their bytes. */
  public Set<String> names() {
    return tensors.keySet();
  }

  /**
   * @throws InvalidInputException if there is no tensor of that name
   */
  public SafetensorsTensor tensor(String name) {
    SafetensorsTensor tensor = tensors.get(name);
    if (tensor == null) {
      throw new InvalidInputException(
          "%s: no tensor '%s' among its %d tensors".formatted(path, name, tensors.size()));
    }
    return tensor;
  }

  /**
   * A read-only, little-endian, memory-mapped window on a tensor's bytes. It stays valid after
   * {@link #close}, until it is garbage. See the class comment on truncated files.
   *
   * @param offset first byte, from the tensor's begin
   * @param length bytes, at most {@link #MAX_WINDOW}
   * @return position 0, limit {@code length}; owned by the caller
   * @throws IndexOutOfBoundsException if the range leaves the tensor
   */
  public ByteBuffer bytes(String name, long offset, int length) {
    SafetensorsTensor tensor = tensor(name);
    checkRange(tensor, offset, length);
    if (length > MAX_WINDOW) {
      throw new IndexOutOfBoundsException(
          length + " bytes at once, expected at most " + MAX_WINDOW);
    }
    if (length == 0) {
      return ByteBuffer.allocate(0).asReadOnlyBuffer().order(ByteOrder.LITTLE_ENDIAN);
    }
    long position = bufferStart + tensor.begin() + offset;
    int window = (int) (position / MAX_WINDOW);
    return window(window)
        .slice((int) (position % MAX_WINDOW), length)
        .order(ByteOrder.LITTLE_ENDIAN);
  }

  private ByteBuffer window(int index) {
    ByteBuffer mapped = windows.get(index);
    if (mapped != null) {
      return mapped;
    }
    try {
      long begin = (long) index * MAX_WINDOW;
      long length = Math.min(Integer.MAX_VALUE, channel.size() - begin);
      mapped = channel.map(FileChannel.MapMode.READ_ONLY, begin, Math.max(length, 0));
    } catch (IOException e) {
      throw new UncheckedIOException(path + ": cannot be mapped: " + FileProblem.reason(e), e);
    }
    return windows.compareAndSet(index, null, mapped) ? mapped : windows.get(index);
  }

  /**
   * Copies bytes of a tensor into {@code target}, from its position up to its limit.
   *
   * @param offset first byte, from the tensor's begin
   * @throws IndexOutOfBoundsException if the range leaves the tensor
   * @throws InvalidInputException if the file was truncated after it was opened
   */
  public void read(String name, long offset, ByteBuffer target) {
    SafetensorsTensor tensor = tensor(name);
    checkRange(tensor, offset, target.remaining());
    copy(tensor, offset, target);
  }

  private void copy(SafetensorsTensor tensor, long offset, ByteBuffer target) {
    // For a heap buffer the JDK keeps a direct one of equal size per thread: so ask for little.
    int most = target.isDirect() ? Integer.MAX_VALUE : FloatDecoder.CHUNK_BYTES;
    long position = bufferStart + tensor.begin() + offset;
    int limit = target.limit();
    try {
      while (target.position() < limit) {
        target.limit(target.position() + Math.min(most, limit - target.position()));
        int got = channel.read(target, position);
        if (got < 0) {
          throw new InvalidInputException(
              "%s: tensor '%s' ends before its last byte: the file was truncated while in use"
                  .formatted(path, tensor.name()));
        }
        position += got;
      }
    } catch (ClosedChannelException e) {
      throw new IllegalStateException(path + " is closed", e);
    } catch (IOException e) {
      throw new UncheckedIOException(path + ": cannot be read: " + FileProblem.reason(e), e);
    } finally {
      target.limit(limit);
    }
  }

  /**
   * Values of a floating-point tensor as float32: exact for F32, F16 and BF16, rounded to nearest
   * for F64.
   *
   * @param firstElement index in row-major order
   * @param out receives {@code count} values from {@code outOffset} on
   * @throws InvalidInputException if the tensor is none of these types, or the file was truncated
   * @throws IndexOutOfBoundsException if a range leaves the tensor or {@code out}
   */
  public void readFloats(String name, long firstElement, float[] out, int outOffset, int count) {
    SafetensorsTensor tensor = tensor(name);
    Objects.checkFromIndexSize(outOffset, count, out.length);
    FloatDecoder decoder = FloatDecoder.of(path, tensor);
    Objects.checkFromIndexSize(firstElement, count, tensor.elements());
    ByteBuffer chunk = decoder.chunk(count);
    for (int done = 0; done < count; ) {
      int n = Math.min(count - done, chunk.capacity() / decoder.bytes());
      copy(
          tensor,
          (firstElement + done) * decoder.bytes(),
          chunk.clear().limit(n * decoder.bytes()));
      decoder.decode(chunk.array(), n, out, outOffset + done);
      done += n;
    }
  }

  /**
   * Index of the first NaN or infinity of a floating-point tensor, or empty if all are finite.
   *
   * @throws InvalidInputException if the tensor is not F64, F32, F16 or BF16
   */
  public OptionalLong firstNonFinite(String name) {
    long elements = tensor(name).elements();
    float[] values = new float[(int) Math.min(elements, 1 << 14)];
    // F64 beyond float32's range becomes infinite here: no weight of a model is that large.
    for (long first = 0; first < elements; first += values.length) {
      int n = (int) Math.min(values.length, elements - first);
      readFloats(name, first, values, 0, n);
      for (int i = 0; i < n; i++) {
        if (!Float.isFinite(values[i])) {
          return OptionalLong.of(first + i);
        }
      }
    }
    return OptionalLong.empty();
  }

  private void checkRange(SafetensorsTensor tensor, long offset, long length) {
    if (offset < 0 || length < 0 || offset > tensor.bytes() - length) {
      throw new IndexOutOfBoundsException(
          "%s: bytes [%d, %d) of tensor '%s', which has %d"
              .formatted(path, offset, offset + length, tensor.name(), tensor.bytes()));
    }
  }

  /** Closes the file; windows given out by {@link #bytes} stay valid. */
  @Override
  public void close() {
    try {
      channel.close();
    } catch (IOException e) {
      throw new UncheckedIOException(path + ": cannot be closed: " + FileProblem.reason(e), e);
    }
  }

  private static void closeQuietly(FileChannel channel) {
    if (channel != null) {
      try {
        channel.close();
      } catch (IOException e) {
        // Only reached while another exception is on its way, which says more.
      }
    }
  }
}
