package ai.nibble.gguf;

import ai.nibble.FileProblem;
import ai.nibble.InvalidInputException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.channels.ClosedChannelException;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;

/**
 * The bytes of a file of any size, copied out by position; for any number of threads.
 *
 * <p>Not memory-mapped: where a mapped file is truncated by another process, the JVM hands out
 * zeros and raises an InternalError some time later, anywhere in the thread. A read of 16 KiB from
 * the page cache costs a few microseconds, far less than decoding it.
 */
final class OpenFile implements AutoCloseable {
  /** For a heap buffer the JDK keeps a direct one of equal size per thread: so ask for little. */
  private static final int MAX_READ = 1 << 16;

  private final Path path;
  private final FileChannel channel;
  private final long size;

  OpenFile(Path path) throws IOException {
    this.path = path;
    this.channel = FileChannel.open(path, StandardOpenOption.READ);
    this.size = channel.size();
  }

  Path path() {
    return path;
  }

  /** The length when the file was opened. */
  long size() {
    return size;
  }

  /**
   * Copies {@code count} bytes into {@code out} from {@code offset} on.
   *
   * @throws InvalidInputException if the file was truncated after it was opened
   * @throws IllegalStateException if it was closed
   */
  void read(long position, byte[] out, int offset, int count) {
    ByteBuffer target = ByteBuffer.wrap(out, offset, count);
    int end = offset + count;
    try {
      while (target.position() < end) {
        target.limit(Math.min(end, target.position() + MAX_READ));
        int got = channel.read(target, position);
        if (got < 0) {
          throw new InvalidInputException(
              path + ": was truncated while in use; do not change model files while they are read");
        }
        position += got;
      }
    } catch (ClosedChannelException e) {
      throw new IllegalStateException(path + ": is closed", e);
    } catch (IOException e) {
      throw new UncheckedIOException(path + ": cannot be read: " + FileProblem.reason(e), e);
    }
  }

  @Override
  public void close() throws IOException {
    channel.close();
  }
}
