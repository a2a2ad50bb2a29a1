package ai.nibble.data;

import ai.nibble.FileProblem;
import ai.nibble.InvalidInputException;
import ai.nibble.Sha256;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * A {@code tokenizer.json}, checked. The native library ends the process, uncatchably, on several
 * kinds of malformed file, so whatever is known to do that is refused here first.
 *
 * @param outline the file without its vocabulary and merges
 * @param ids of every token, the model's and the added ones
 * @param added the added tokens in the file's order
 * @param vocabSize highest id + 1
 * @param limits of texts
 * @param notice one line about what the file asks for and Nibble does not do
 * @param sum SHA-256 of the file
 */
record TokenizerFile(
    Path path,
    ObjectNode outline,
    Map<String, Integer> ids,
    List<AddedToken> added,
    int vocabSize,
    TextLimits limits,
    Optional<String> notice,
    byte[] sum) {

  /** A tokenizer of a million tokens is about 50 MB. */
  static final long MAX_BYTES = 256L << 20;

  /**
   * @param special whether the library calls it special: a control token, such as the end of a turn
   */
  record AddedToken(String text, int id, boolean special) {}

  static TokenizerFile read(Path path) {
    return TokenizerReader.read(path).file();
  }

  /** The bytes of a file that is not too long. */
  static byte[] bytes(Path path) {
    try {
      if (!Files.isRegularFile(path)) {
        throw new InvalidInputException(path + " is not a regular file, expected a JSON file");
      }
      if (Files.size(path) > MAX_BYTES) {
        throw new InvalidInputException(
            path + " has " + Files.size(path) + " bytes, expected at most " + MAX_BYTES);
      }
      return Files.readAllBytes(path);
    } catch (IOException e) {
      throw new InvalidInputException(path + " cannot be read: " + FileProblem.reason(e), e);
    }
  }

  /**
   * All of the file, read again.
   *
   * @throws InvalidInputException where it is another by now
   */
  ObjectNode tree() {
    byte[] bytes = bytes(path);
    if (!Arrays.equals(sum, Sha256.start().digest(bytes))) {
      throw new InvalidInputException(
          path + " was changed while it is in use: begin again, with files that stay as they are");
    }
    return JsonFiles.object(path, bytes);
  }
}
