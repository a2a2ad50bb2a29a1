package ai.nibble;

import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;

/**
 * Bytes {@code [begin, end)} of a file as a stream, read by position so that the channel can be
 * shared.
 */
public final class BoundedInput extends InputStream {
  private final FileChannel channel;
  private long position;
  private final long end;

  public BoundedInput(FileChannel channel, long begin, long end) {
    this.channel = channel;
    this.position = begin;
    this.end = end;
  }

  @Override
  public int read() throws IOException {
    byte[] one = new byte[1];
    return read(one, 0, 1) < 0 ? -1 : one[0] & 0xff;
  }

  @Override
  public int read(byte[] bytes, int offset, int length) throws IOException {
    if (position >= end) {
      return -1;
    }
    int wanted = (int) Math.min(length, end - position);
    int got = channel.read(ByteBuffer.wrap(bytes, offset, wanted), position);
    position += Math.max(got, 0);
    return got;
  }
}
