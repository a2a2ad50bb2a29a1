package ai.nibble.data;

import ai.nibble.FileProblem;
import ai.nibble.InvalidInputException;
import ai.nibble.Sha256;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.List;

/**
 * The sum of all that decides the examples of a data set: the code, the tokenizer, the template,
 * the settings, how rows are read, and every byte of the files. Not where the files are.
 */
public final class EncodingKey {
  private EncodingKey() {}

  /**
   * @param files of the rows, in the order in which they are read
   * @param reading how rows are read from them, in words: their type, columns, limit
   * @return a SHA-256 sum, 32 bytes
   * @throws InvalidInputException where a file cannot be read
   */
  public static byte[] of(ExampleEncoder encoder, String reading, List<Path> files) {
    MessageDigest sum = Sha256.start();
    EncodingCode.feed(sum);
    encoder.feed(sum);
    sum.update(reading.getBytes(StandardCharsets.UTF_8));
    for (Path file : files) {
      feed(sum, file);
    }
    return sum.digest();
  }

  private static void feed(MessageDigest sum, Path path) {
    RowFile.requireFile(path);
    try (FileChannel file = FileChannel.open(path)) {
      long size = file.size();
      String kind = RowFile.kind(path).orElse("");
      sum.update((kind + size + "\n").getBytes(StandardCharsets.UTF_8));
      ByteBuffer part = ByteBuffer.allocate(1 << 18);
      while (file.read(part.clear()) >= 0) {
        sum.update(part.flip());
      }
    } catch (IOException e) {
      throw new InvalidInputException(path + " cannot be read: " + FileProblem.reason(e), e);
    }
  }
}
