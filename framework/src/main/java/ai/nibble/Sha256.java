package ai.nibble;

import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.DigestInputStream;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;

/** SHA-256 sums (FIPS 180-4). */
public final class Sha256 {
  private Sha256() {}

  /** A sum to be fed. */
  public static MessageDigest start() {
    try {
      return MessageDigest.getInstance("SHA-256");
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException(e); // every Java has it
    }
  }

  /**
   * Feeds bytes {@code [begin, end)} of a file; none where begin is not before end.
   *
   * @throws IOException if they cannot be read, or the file is shorter
   */
  public static void update(MessageDigest sum, FileChannel file, long begin, long end)
      throws IOException {
    ByteBuffer bytes = ByteBuffer.allocate((int) Math.max(0, end - begin));
    long at = begin;
    while (bytes.hasRemaining()) {
      int read = file.read(bytes, at);
      if (read < 0) {
        throw new IOException("cut short while it was read");
      }
      at += read;
    }
    sum.update(bytes.flip());
  }

  /** Ends a sum: its first 64 bits, 16 hexadecimal digits, enough to tell accidents apart. */
  public static String shortHex(MessageDigest sum) {
    return HexFormat.of().formatHex(sum.digest(), 0, Long.BYTES);
  }

  /** Ends a sum: 64 hexadecimal digits. */
  public static String hex(MessageDigest sum) {
    return HexFormat.of().formatHex(sum.digest());
  }

  /** Of a whole file, 64 hexadecimal digits. */
  public static String of(Path file) throws IOException {
    MessageDigest sum = start();
    try (InputStream in = new DigestInputStream(Files.newInputStream(file), sum)) {
      in.transferTo(OutputStream.nullOutputStream());
    }
    return hex(sum);
  }
}
