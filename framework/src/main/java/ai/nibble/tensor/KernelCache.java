package ai.nibble.tensor;

import ai.nibble.FileProblem;
import ai.nibble.Sha256;
import ai.nibble.UserCache;
import ai.nibble.WholeFile;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.function.Consumer;

/**
 * Keeps what a compiler made in a directory of the user's, so that only the first run on a kind of
 * GPU compiles. An entry's name is the SHA-256 sum of all that decides its content: the compiler
 * with its version and options, the target and the source. The file has the SHA-256 sum of what
 * follows it (32 bytes), then the cubin or PTX; an entry that does not match its sum is compiled
 * anew.
 */
final class KernelCache implements KernelCompiler {
  private static final int SUM_BYTES = 32;

  private final KernelCompiler compiler;
  private final Path directory;
  private final Consumer<String> log;
  private final AtomicBoolean complained = new AtomicBoolean();

  /**
   * @param compiler what to ask for what is not kept
   * @param directory made when the first entry is
   * @param log gets one line if entries cannot be kept
   */
  KernelCache(KernelCompiler compiler, Path directory, Consumer<String> log) {
    this.compiler = compiler;
    this.directory = directory;
    this.log = log;
  }

  /** Where a user's compiled kernels are. */
  static Path userDirectory() {
    return UserCache.directory("kernels");
  }

  @Override
  public String identity() {
    return compiler.identity();
  }

  @Override
  public String target(int capability) {
    return compiler.target(capability);
  }

  @Override
  public byte[] compile(CudaProgram program, String target) {
    Path entry = directory.resolve(name(program, target));
    byte[] kept = read(entry);
    if (kept != null) {
      return kept;
    }
    byte[] image = compiler.compile(program, target);
    write(entry, image);
    return image;
  }

  private String name(CudaProgram program, String target) {
    MessageDigest sum = Sha256.start();
    for (String part : List.of(compiler.identity(), target, program.source())) {
      sum.update(part.getBytes(StandardCharsets.UTF_8));
      sum.update((byte) 0); // no part has it: none runs into the next
    }
    return HexFormat.of().formatHex(sum.digest()) + (target.startsWith("sm_") ? ".cubin" : ".ptx");
  }

  /** The entry's content, null if there is none or it is damaged. */
  private byte[] read(Path entry) {
    try {
      byte[] file = Files.readAllBytes(entry);
      if (file.length > SUM_BYTES) {
        byte[] image = Arrays.copyOfRange(file, SUM_BYTES, file.length);
        boolean whole =
            Arrays.equals(file, 0, SUM_BYTES, Sha256.start().digest(image), 0, SUM_BYTES);
        return whole ? image : null;
      }
      return null;
    } catch (NoSuchFileException e) {
      return null;
    } catch (IOException e) {
      complain(e);
      return null;
    }
  }

  private void write(Path entry, byte[] image) {
    byte[] file = Arrays.copyOf(Sha256.start().digest(image), SUM_BYTES + image.length);
    System.arraycopy(image, 0, file, SUM_BYTES, image.length);
    try {
      Files.createDirectories(directory);
      WholeFile.write(entry, file);
    } catch (IOException e) {
      complain(e);
    }
  }

  private void complain(IOException e) {
    if (complained.compareAndSet(false, true)) {
      log.accept(
          directory
              + ": compiled kernels cannot be kept there ("
              + FileProblem.reason(e)
              + "): each start compiles them anew; make it writable or set XDG_CACHE_HOME");
    }
  }
}
