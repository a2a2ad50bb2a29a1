package ai.nibble.fault;

import ai.nibble.fault.Disk.Change;
import java.io.IOException;
import java.net.URI;
import java.nio.channels.FileChannel;
import java.nio.channels.SeekableByteChannel;
import java.nio.file.AccessMode;
import java.nio.file.CopyOption;
import java.nio.file.DirectoryStream;
import java.nio.file.FileStore;
import java.nio.file.FileSystem;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.OpenOption;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.BasicFileAttributes;
import java.nio.file.attribute.FileAttribute;
import java.nio.file.attribute.FileAttributeView;
import java.nio.file.spi.FileSystemProvider;
import java.util.Iterator;
import java.util.Map;
import java.util.Set;

/** The default provider, with every change told to a {@link Disk} first. */
final class DiskFiles extends FileSystemProvider {
  private final Disk disk;
  private final DiskFileSystem system;

  DiskFiles(Disk disk) {
    this.disk = disk;
    this.system = new DiskFileSystem(this);
  }

  Path wrap(Path real) {
    return real == null ? null : new DiskPath(system, real);
  }

  static Path real(Path path) {
    return path instanceof DiskPath wrapped ? wrapped.real() : path;
  }

  private Path change(Change change, Path path) throws IOException {
    disk.before(change, real(path));
    return real(path);
  }

  @Override
  public FileChannel newFileChannel(
      Path path, Set<? extends OpenOption> options, FileAttribute<?>... attributes)
      throws IOException {
    disk.requireAlive();
    Path real = real(path);
    boolean creates =
        options.contains(StandardOpenOption.CREATE_NEW)
            || options.contains(StandardOpenOption.CREATE) && !Files.exists(real);
    if (creates) {
      disk.before(Change.CREATE, real);
    }
    return new DiskChannel(disk, real, FileChannel.open(real, options, attributes));
  }

  @Override
  public SeekableByteChannel newByteChannel(
      Path path, Set<? extends OpenOption> options, FileAttribute<?>... attributes)
      throws IOException {
    return newFileChannel(path, options, attributes);
  }

  @Override
  public DirectoryStream<Path> newDirectoryStream(
      Path directory, DirectoryStream.Filter<? super Path> filter) throws IOException {
    disk.requireAlive();
    DirectoryStream<Path> real =
        Files.newDirectoryStream(real(directory), entry -> filter.accept(wrap(entry)));
    return new DirectoryStream<>() {
      @Override
      public Iterator<Path> iterator() {
        Iterator<Path> entries = real.iterator();
        return new Iterator<>() {
          @Override
          public boolean hasNext() {
            return entries.hasNext();
          }

          @Override
          public Path next() {
            return wrap(entries.next());
          }
        };
      }

      @Override
      public void close() throws IOException {
        real.close();
      }
    };
  }

  @Override
  public void createDirectory(Path directory, FileAttribute<?>... attributes) throws IOException {
    disk.requireAlive();
    if (Files.exists(real(directory))) {
      Files.createDirectory(real(directory), attributes); // fails, and changes nothing
    }
    Files.createDirectory(change(Change.MAKE_DIRECTORY, directory), attributes);
  }

  @Override
  public void delete(Path path) throws IOException {
    Files.delete(change(Change.DELETE, path));
  }

  @Override
  public boolean deleteIfExists(Path path) throws IOException {
    disk.requireAlive();
    return Files.exists(real(path), LinkOption.NOFOLLOW_LINKS)
        && Files.deleteIfExists(change(Change.DELETE, path));
  }

  @Override
  public void copy(Path from, Path to, CopyOption... options) throws IOException {
    Files.copy(real(from), change(Change.WRITE, to), options);
    disk.written(real(to));
  }

  @Override
  public void move(Path from, Path to, CopyOption... options) throws IOException {
    change(Change.MOVE, to);
    Files.move(real(from), real(to), options);
    disk.moved(real(from), real(to));
  }

  @Override
  public boolean isSameFile(Path a, Path b) throws IOException {
    return Files.isSameFile(real(a), real(b));
  }

  @Override
  public boolean isHidden(Path path) throws IOException {
    return Files.isHidden(real(path));
  }

  @Override
  public FileStore getFileStore(Path path) throws IOException {
    return Files.getFileStore(real(path));
  }

  @Override
  public void checkAccess(Path path, AccessMode... modes) throws IOException {
    disk.requireAlive();
    real(path).getFileSystem().provider().checkAccess(real(path), modes);
  }

  @Override
  public <V extends FileAttributeView> V getFileAttributeView(
      Path path, Class<V> type, LinkOption... options) {
    return Files.getFileAttributeView(real(path), type, options);
  }

  @Override
  public <A extends BasicFileAttributes> A readAttributes(
      Path path, Class<A> type, LinkOption... options) throws IOException {
    disk.requireAlive();
    return Files.readAttributes(real(path), type, options);
  }

  @Override
  public Map<String, Object> readAttributes(Path path, String names, LinkOption... options)
      throws IOException {
    disk.requireAlive();
    return Files.readAttributes(real(path), names, options);
  }

  @Override
  public void setAttribute(Path path, String name, Object value, LinkOption... options)
      throws IOException {
    Files.setAttribute(real(path), name, value, options);
  }

  @Override
  public String getScheme() {
    return "faulty";
  }

  @Override
  public FileSystem newFileSystem(URI uri, Map<String, ?> environment) {
    throw new UnsupportedOperationException();
  }

  @Override
  public FileSystem getFileSystem(URI uri) {
    return system;
  }

  @Override
  public Path getPath(URI uri) {
    throw new UnsupportedOperationException();
  }
}
