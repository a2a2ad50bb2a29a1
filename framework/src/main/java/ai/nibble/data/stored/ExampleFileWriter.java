package ai.nibble.data.stored;

import ai.nibble.FileProblem;
import ai.nibble.data.EncodingSummary;
import ai.nibble.data.Example;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.function.Consumer;
import java.util.zip.CRC32C;

/** Writes a file of examples, one after the other. */
final class ExampleFileWriter implements Consumer<Example> {
  private final Path path;
  private final FileChannel file;
  private final CRC32C sum = new CRC32C();
  private ByteBuffer buffer = Layout.buffer(1 << 18);
  private int[] lengths = new int[1024];
  private int count;

  /**
   * @param path for messages
   * @param file empty, and not closed here
   */
  ExampleFileWriter(Path path, FileChannel file) {
    this.path = path;
    this.file = file;
    buffer.put(Layout.MAGIC);
  }

  /**
   * @throws UncheckedIOException naming the file, where it cannot be written
   */
  @Override
  public void accept(Example example) {
    try {
      int bytes = Layout.bytes(example.length());
      if (buffer.remaining() < bytes) {
        flush();
      }
      if (buffer.capacity() < bytes) {
        buffer = Layout.buffer(bytes);
      }
      Layout.put(buffer, example);
    } catch (IOException e) {
      throw unwritable(e);
    }
    if (count == lengths.length) {
      lengths = Arrays.copyOf(lengths, Math.multiplyExact(count, 2));
    }
    lengths[count++] = example.length();
  }

  private UncheckedIOException unwritable(IOException e) {
    return new UncheckedIOException(path + ": cannot be written: " + FileProblem.reason(e), e);
  }

  private void flush() throws IOException {
    buffer.flip();
    sum.update(buffer.duplicate());
    while (buffer.hasRemaining()) {
      file.write(buffer);
    }
    buffer.clear();
  }

  /** Ends the file; what is read from it now is what was written. */
  ExampleFile finish(EncodingSummary summary, byte[] key) {
    try {
      for (int i = 0; i < count; i++) {
        if (buffer.remaining() < Integer.BYTES) {
          flush();
        }
        buffer.putInt(lengths[i]);
      }
      flush();
      ByteBuffer trailer = Layout.buffer(Layout.TRAILER_BYTES);
      Layout.put(trailer, summary);
      trailer.put(key);
      sum.update(trailer.duplicate().flip());
      trailer.putInt((int) sum.getValue()).put(Layout.MAGIC).flip();
      while (trailer.hasRemaining()) {
        file.write(trailer);
      }
    } catch (IOException e) {
      throw unwritable(e);
    }
    return new ExampleFile(path, file, Arrays.copyOf(lengths, count), summary);
  }
}
