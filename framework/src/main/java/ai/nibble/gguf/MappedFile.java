package ai.nibble.gguf;

import ai.nibble.InvalidInputException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;

/**
 * The bytes of a file of any size, memory-mapped for reading, little-endian; for any number of
 * threads.
 *
 * <p>The windows overlap by 8 bytes so that no number straddles two of them.
 */
final class MappedFile {
  private static final int WINDOW_BITS = 30;
  private static final int OVERLAP = Long.BYTES;

  private final Path path;
  private final long size;
  private final int windowBits;
  private final ByteBuffer[] windows;
  private volatile boolean closed;

  private MappedFile(Path path, long size, int windowBits, ByteBuffer[] windows) {
    this.path = path;
    this.size = size;
    this.windowBits = windowBits;
    this.windows = windows;
  }

  static MappedFile open(Path path) throws IOException {
    return open(path, WINDOW_BITS);
  }

  /**
   * @param windowBits a window begins at every multiple of {@code 2^windowBits}
   */
  static MappedFile open(Path path, int windowBits) throws IOException {
    try (FileChannel channel = FileChannel.open(path, StandardOpenOption.READ)) {
      long size = channel.size();
      long window = 1L << windowBits;
      ByteBuffer[] windows = new ByteBuffer[Math.toIntExact((size + window - 1) / window)];
      for (int i = 0; i < windows.length; i++) {
        long begin = i * window;
        long length = Math.min(window + OVERLAP, size - begin);
        windows[i] =
            channel
                .map(FileChannel.MapMode.READ_ONLY, begin, length)
                .order(ByteOrder.LITTLE_ENDIAN);
      }
      return new MappedFile(path, size, windowBits, windows);
    }
  }

  Path path() {
    return path;
  }

  long size() {
    return size;
  }

  byte byteAt(long position) {
    try {
      return window(position).get(within(position));
    } catch (InternalError e) {
      throw truncated(e);
    }
  }

  short shortAt(long position) {
    try {
      return window(position).getShort(within(position));
    } catch (InternalError e) {
      throw truncated(e);
    }
  }

  int intAt(long position) {
    try {
      return window(position).getInt(within(position));
    } catch (InternalError e) {
      throw truncated(e);
    }
  }

  long longAt(long position) {
    try {
      return window(position).getLong(within(position));
    } catch (InternalError e) {
      throw truncated(e);
    }
  }

  /** Copies {@code count} bytes into {@code out} from {@code offset} on. */
  void read(long position, byte[] out, int offset, int count) {
    try {
      while (count > 0) {
        ByteBuffer window = window(position);
        int at = within(position);
        int n = Math.min(count, window.limit() - at);
        window.get(at, out, offset, n);
        position += n;
        offset += n;
        count -= n;
      }
    } catch (InternalError e) {
      throw truncated(e);
    }
  }

  /** From here on every read fails; the mapping itself goes when it is garbage. */
  void close() {
    closed = true;
  }

  private ByteBuffer window(long position) {
    if (closed) {
      throw new IllegalStateException(path + ": is closed");
    }
    return windows[(int) (position >>> windowBits)];
  }

  private int within(long position) {
    return (int) (position & (1L << windowBits) - 1);
  }

  /** What the JVM raises where a mapped page is gone. */
  private InvalidInputException truncated(InternalError cause) {
    return new InvalidInputException(
        path + ": was truncated while in use; leave model files alone while they are read", cause);
  }
}
