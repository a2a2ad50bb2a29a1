package ai.nibble.fault;

import ai.nibble.fault.Disk.Change;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.MappedByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.channels.ReadableByteChannel;
import java.nio.channels.WritableByteChannel;
import java.nio.file.Path;

/** A file that is open on a {@link Disk}. */
final class DiskChannel extends FileChannel {
  private final Disk disk;
  private final Path path;
  private final FileChannel real;
  private boolean wrote;

  DiskChannel(Disk disk, Path path, FileChannel real) {
    this.disk = disk;
    this.path = path;
    this.real = real;
  }

  @FunctionalInterface
  private interface Write {
    int run(ByteBuffer bytes) throws IOException;
  }

  private int write(ByteBuffer bytes, Write write) throws IOException {
    try {
      disk.before(Change.WRITE, path);
    } catch (Disk.Killed e) {
      int half = bytes.remaining() / 2;
      write.run(bytes.duplicate().limit(bytes.position() + half)); // torn
      disk.written(path);
      throw e;
    }
    wrote = true;
    disk.written(path);
    return write.run(bytes);
  }

  @Override
  public int write(ByteBuffer bytes) throws IOException {
    return write(bytes, real::write);
  }

  @Override
  public int write(ByteBuffer bytes, long position) throws IOException {
    return write(bytes, b -> real.write(b, position));
  }

  @Override
  public long write(ByteBuffer[] buffers, int offset, int length) throws IOException {
    long written = 0;
    for (int i = offset; i < offset + length; i++) {
      written += write(buffers[i]);
    }
    return written;
  }

  @Override
  public void force(boolean metaData) throws IOException {
    disk.before(Change.FORCE, path);
    real.force(metaData);
    disk.synced(path);
  }

  @Override
  protected void implCloseChannel() throws IOException {
    real.close(); // a process's files are closed when it ends, however it ends
    if (wrote && !disk.isDead()) {
      disk.before(Change.CLOSE, path);
    }
  }

  @Override
  public FileChannel truncate(long size) throws IOException {
    disk.before(Change.WRITE, path);
    real.truncate(size);
    return this;
  }

  @Override
  public int read(ByteBuffer bytes) throws IOException {
    disk.requireAlive();
    return real.read(bytes);
  }

  @Override
  public long read(ByteBuffer[] buffers, int offset, int length) throws IOException {
    disk.requireAlive();
    return real.read(buffers, offset, length);
  }

  @Override
  public int read(ByteBuffer bytes, long position) throws IOException {
    disk.requireAlive();
    return real.read(bytes, position);
  }

  @Override
  public long position() throws IOException {
    return real.position();
  }

  @Override
  public FileChannel position(long position) throws IOException {
    real.position(position);
    return this;
  }

  @Override
  public long size() throws IOException {
    return real.size();
  }

  @Override
  public long transferTo(long position, long count, WritableByteChannel to) throws IOException {
    disk.requireAlive();
    return real.transferTo(position, count, to);
  }

  @Override
  public long transferFrom(ReadableByteChannel from, long position, long count) throws IOException {
    disk.before(Change.WRITE, path);
    wrote = true;
    disk.written(path);
    return real.transferFrom(from, position, count);
  }

  @Override
  public MappedByteBuffer map(MapMode mode, long position, long size) throws IOException {
    disk.requireAlive();
    return real.map(mode, position, size);
  }

  @Override
  public FileLock lock(long position, long size, boolean shared) throws IOException {
    return real.lock(position, size, shared);
  }

  @Override
  public FileLock tryLock(long position, long size, boolean shared) throws IOException {
    return real.tryLock(position, size, shared);
  }
}
