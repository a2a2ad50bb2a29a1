package ai.nibble.data;

import ai.djl.huggingface.tokenizers.HuggingFaceTokenizer;
import java.io.IOException;
import java.net.URISyntaxException;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileSystem;
import java.nio.file.FileSystems;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.CodeSource;
import java.security.MessageDigest;
import java.util.List;
import java.util.UUID;
import java.util.stream.Stream;

/**
 * The code that makes examples of rows, as part of what decides them: what another version encoded
 * is never taken for this one's.
 */
final class EncodingCode {
  private EncodingCode() {}

  /** Feeds a sum with the classes of this package and those below it, and the tokenizer library. */
  static void feed(MessageDigest sum) {
    try {
      Path library = place(HuggingFaceTokenizer.class);
      sum.update(library.getFileName().toString().getBytes(StandardCharsets.UTF_8));
      Path own = place(EncodingCode.class);
      String folder = EncodingCode.class.getPackageName().replace('.', '/');
      if (Files.isDirectory(own)) {
        feed(sum, own.resolve(folder));
      } else {
        try (FileSystem jar = FileSystems.newFileSystem(own)) {
          feed(sum, jar.getPath(folder));
        }
      }
    } catch (IOException | URISyntaxException | RuntimeException e) {
      // of code whose place is unknown nobody can tell whether it is the same
      sum.update(UUID.randomUUID().toString().getBytes(StandardCharsets.UTF_8));
    }
  }

  private static Path place(Class<?> type) throws URISyntaxException, IOException {
    CodeSource source = type.getProtectionDomain().getCodeSource();
    if (source == null) {
      throw new IOException("no place known of " + type);
    }
    return Path.of(source.getLocation().toURI());
  }

  private static void feed(MessageDigest sum, Path folder) throws IOException {
    try (Stream<Path> tree = Files.walk(folder)) {
      List<Path> classes =
          tree.filter(file -> file.toString().endsWith(".class"))
              .sorted((a, b) -> a.toString().compareTo(b.toString()))
              .toList();
      if (classes.isEmpty()) {
        throw new IOException("no classes in " + folder);
      }
      for (Path file : classes) {
        sum.update(file.getFileName().toString().getBytes(StandardCharsets.UTF_8));
        sum.update(Files.readAllBytes(file));
      }
    }
  }
}
