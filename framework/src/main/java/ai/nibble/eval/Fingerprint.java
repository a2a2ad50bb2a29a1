package ai.nibble.eval;

import ai.nibble.FileProblem;
import ai.nibble.InvalidInputException;
import ai.nibble.Sha256;
import ai.nibble.eval.task.Example;
import ai.nibble.model.ExtendedBase;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;

/** Short names for contents, by which results that belong to others are told apart. */
final class Fingerprint {
  /** Of a larger file only its size, so many bytes at its start and as many at its end count. */
  private static final int PART = 1 << 20;

  private Fingerprint() {}

  /** Of a text: the first 64 bits of its SHA-256 in hexadecimal. */
  static String of(String text) {
    MessageDigest digest = Sha256.start();
    digest.update(text.getBytes(StandardCharsets.UTF_8));
    return Sha256.shortHex(digest);
  }

  /** Of items: of all that counts of them, in their order. */
  static String of(List<? extends Example> items) {
    MessageDigest digest = Sha256.start();
    for (Example item : items) {
      byte[] content = item.content().getBytes(StandardCharsets.UTF_8);
      digest.update(ByteBuffer.allocate(Integer.BYTES).putInt(0, content.length));
      digest.update(content);
    }
    return Sha256.shortHex(digest);
  }

  /**
   * Of a model or adapter: of the configuration and weight files of a directory, or of one file.
   * Weights may be many gigabytes: their sizes, beginnings and ends stand for them.
   *
   * @throws InvalidInputException if a file cannot be read
   */
  static String of(Path model) {
    MessageDigest digest = Sha256.start();
    try {
      List<Path> files = new ArrayList<>(files(model));
      Path weights = ExtendedBase.weightsOf(model);
      if (!weights.equals(model)) {
        files.addAll(files(weights));
      }
      for (Path file : files) {
        digest.update(file.getFileName().toString().getBytes(StandardCharsets.UTF_8));
        update(digest, file);
      }
    } catch (IOException e) {
      throw new InvalidInputException(model + ": cannot be read: " + FileProblem.reason(e), e);
    }
    return Sha256.shortHex(digest);
  }

  private static List<Path> files(Path model) throws IOException {
    if (!Files.isDirectory(model)) {
      return List.of(model);
    }
    try (Stream<Path> listing = Files.list(model)) {
      return listing
          .filter(Files::isRegularFile)
          .filter(
              f -> f.getFileName().toString().matches(".*(\\.safetensors|\\.gguf|config\\.json)"))
          .sorted()
          .toList();
    }
  }

  private static void update(MessageDigest digest, Path file) throws IOException {
    try (FileChannel channel = FileChannel.open(file)) {
      long size = channel.size();
      digest.update(ByteBuffer.allocate(Long.BYTES).putLong(0, size));
      Sha256.update(digest, channel, 0, Math.min(size, PART));
      Sha256.update(digest, channel, Math.max(PART, size - PART), size);
    }
  }
}
