package ai.nibble.safetensors;

import java.nio.charset.StandardCharsets;
import java.util.Locale;
import java.util.Optional;

/** Tells what a file that is no safetensors file most likely is, from its first bytes. */
final class ForeignContent {
  /** As many bytes as the longest signature below needs, and some leading space. */
  static final int PREFIX = 64;

  private ForeignContent() {}

  /**
   * @param prefix the first bytes of the file, at most {@link #PREFIX}
   * @return what it looks like and what to do, or empty
   */
  static Optional<String> describe(byte[] prefix) {
    String text = new String(prefix, StandardCharsets.ISO_8859_1);
    String start = text.stripLeading().toLowerCase(Locale.ROOT);
    if (start.startsWith("version https://git-lfs")) {
      return Optional.of("a Git LFS pointer; fetch the file itself (git lfs pull) or download it");
    }
    if (start.startsWith("<!doctype") || start.startsWith("<html") || start.startsWith("<?xml")) {
      return Optional.of("a web page, often an error page saved as the file; download it again");
    }
    if (text.startsWith("PK\u0003\u0004") || text.startsWith("\u0080\u0002")) {
      return Optional.of("a PyTorch pickle checkpoint; convert it to safetensors");
    }
    if (text.startsWith("GGUF")) {
      return Optional.of("a GGUF file; name it .gguf");
    }
    if (text.startsWith("\u001f\u008b")) {
      return Optional.of("a gzip archive; unpack it");
    }
    if (start.startsWith("{") || start.startsWith("[")) {
      return Optional.of("JSON text; name the weights file, not its index or configuration");
    }
    return Optional.empty();
  }
}
