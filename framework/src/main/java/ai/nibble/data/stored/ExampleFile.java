package ai.nibble.data.stored;

import ai.nibble.FileProblem;
import ai.nibble.data.EncodingSummary;
import ai.nibble.data.Example;
import ai.nibble.data.Examples;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.AbstractList;
import java.util.Arrays;
import java.util.Objects;
import java.util.zip.CRC32C;

/**
 * Examples in a file, each read when it is asked for. In memory are 8 bytes an example. Safe for
 * use from several threads; open until closed.
 */
public final class ExampleFile extends AbstractList<Example> implements Examples, AutoCloseable {
  private final Path path;
  private final FileChannel file;
  private final long[] begins;
  private final EncodingSummary summary;

  /**
   * @param file closed with the list
   * @param lengths tokens of each example
   */
  ExampleFile(Path path, FileChannel file, int[] lengths, EncodingSummary summary) {
    this.path = path;
    this.file = file;
    this.summary = summary;
    this.begins = new long[lengths.length + 1];
    begins[0] = Layout.MAGIC.length;
    for (int i = 0; i < lengths.length; i++) {
      begins[i + 1] = begins[i] + Layout.bytes(lengths[i]);
    }
  }

  /**
   * Opens a file and reads it once, to see that it is whole.
   *
   * @param key that it must have been written with
   * @throws DamagedFileException where it is not what was written, or of another key
   * @throws IOException where it cannot be read
   */
  static ExampleFile open(Path path, byte[] key) throws IOException {
    FileChannel file = FileChannel.open(path, StandardOpenOption.READ);
    try {
      return open(path, file, key);
    } catch (IOException | RuntimeException e) {
      file.close();
      throw e;
    }
  }

  private static ExampleFile open(Path path, FileChannel file, byte[] key) throws IOException {
    long size = file.size();
    if (size < Layout.MAGIC.length + Layout.TRAILER_BYTES) {
      throw new DamagedFileException("it has " + size + " bytes");
    }
    ByteBuffer trailer = Layout.buffer(Layout.TRAILER_BYTES);
    read(file, trailer, size - Layout.TRAILER_BYTES);
    byte[] sumAndMagic = new byte[Integer.BYTES + Layout.MAGIC.length];
    trailer.get(trailer.limit() - sumAndMagic.length, sumAndMagic);
    int sum = trailer.getInt(trailer.limit() - sumAndMagic.length);
    ByteBuffer begin = Layout.buffer(Layout.MAGIC.length);
    read(file, begin, 0);
    if (!Arrays.equals(begin.array(), Layout.MAGIC)
        || !Arrays.equals(
            sumAndMagic, Integer.BYTES, sumAndMagic.length, Layout.MAGIC, 0, Layout.MAGIC.length)
        || sum != sumOf(file, size - sumAndMagic.length)) {
      throw new DamagedFileException("its checksum is wrong");
    }
    EncodingSummary summary = Layout.summary(trailer);
    byte[] keyOfFile = new byte[Layout.KEY_BYTES];
    trailer.get(keyOfFile);
    if (!Arrays.equals(key, keyOfFile)) {
      throw new DamagedFileException("it was written for other rows");
    }
    ByteBuffer lengths = Layout.buffer(Math.multiplyExact((int) summary.examples(), Integer.BYTES));
    long index = size - Layout.TRAILER_BYTES - lengths.capacity();
    read(file, lengths, index);
    int[] tokens = new int[(int) summary.examples()];
    lengths.asIntBuffer().get(tokens);
    return new ExampleFile(path, file, tokens, summary);
  }

  private static int sumOf(FileChannel file, long end) throws IOException {
    CRC32C sum = new CRC32C();
    ByteBuffer part = ByteBuffer.allocateDirect(1 << 18);
    for (long at = 0; at < end; at += part.limit()) {
      part.clear().limit((int) Math.min(part.capacity(), end - at));
      read(file, part, at);
      sum.update(part);
      part.flip();
    }
    return (int) sum.getValue();
  }

  private static void read(FileChannel file, ByteBuffer to, long at) throws IOException {
    while (to.hasRemaining()) {
      if (file.read(to, at + to.position()) < 0) {
        throw new IOException("it was cut short while it was in use");
      }
    }
    to.flip();
  }

  /** What became of the rows. */
  public EncodingSummary summary() {
    return summary;
  }

  @Override
  public int size() {
    return begins.length - 1;
  }

  @Override
  public int length(int index) {
    Objects.checkIndex(index, size());
    return Layout.tokens(begins[index + 1] - begins[index]);
  }

  /**
   * @throws UncheckedIOException naming the file, where it can no longer be read
   */
  @Override
  public Example get(int index) {
    Objects.checkIndex(index, size());
    ByteBuffer bytes = Layout.buffer((int) (begins[index + 1] - begins[index]));
    try {
      read(file, bytes, begins[index]);
    } catch (IOException e) {
      throw new UncheckedIOException(path + ": cannot be read: " + FileProblem.reason(e), e);
    }
    return Layout.example(bytes);
  }

  @Override
  public void close() {
    try {
      file.close();
    } catch (IOException e) {
      throw new UncheckedIOException(path + ": cannot be closed", e);
    }
  }
}
