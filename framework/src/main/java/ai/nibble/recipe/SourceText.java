package ai.nibble.recipe;

import ai.nibble.FileProblem;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.CharBuffer;
import java.nio.charset.CharsetDecoder;
import java.nio.charset.CoderResult;
import java.nio.charset.CodingErrorAction;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;

/**
 * YAML text and where it comes from.
 *
 * @param start the source as a whole: its name as the user wrote it, and the directory its paths
 *     are relative to
 * @param hasLines whether line and column help to find a place: in {@code --set} they do not
 */
record SourceText(String text, Position start, boolean hasLines) {
  /** A recipe is a page; what is larger is something else. */
  static final int MOST_BYTES = 1 << 20;

  /** Reads a file; empty once a problem has been reported at {@code namedAt}. */
  static Optional<SourceText> read(Path file, Position namedAt, Problems problems) {
    String name = "'" + Problems.shown(file.toString()) + "'";
    if (!Files.exists(file)) {
      problems.add(namedAt, name + " is not there: expected a YAML file; check the path");
      return Optional.empty();
    }
    if (!Files.isRegularFile(file)) {
      String kind = Files.isDirectory(file) ? "a directory" : "not a regular file";
      problems.add(namedAt, name + " is " + kind + ", expected a YAML file: name the file itself");
      return Optional.empty();
    }
    byte[] bytes;
    try (InputStream in = Files.newInputStream(file)) {
      bytes = in.readNBytes(MOST_BYTES + 1);
    } catch (IOException e) {
      problems.add(
          namedAt, name + " cannot be read (" + FileProblem.reason(e) + "): check its permissions");
      return Optional.empty();
    }
    if (bytes.length > MOST_BYTES) {
      problems.add(
          namedAt,
          name
              + " is larger than a recipe may be (1 MiB): is this a recipe? Data belongs in files"
              + " that 'datasets' names");
      return Optional.empty();
    }
    Path directory = file.toAbsolutePath().normalize().getParent();
    return decode(bytes, new Position(Problems.shown(file.toString()), 0, 0, directory), problems);
  }

  private static Optional<SourceText> decode(byte[] bytes, Position start, Problems problems) {
    CharsetDecoder decoder =
        StandardCharsets.UTF_8
            .newDecoder()
            .onMalformedInput(CodingErrorAction.REPORT)
            .onUnmappableCharacter(CodingErrorAction.REPORT);
    ByteBuffer in = ByteBuffer.wrap(bytes);
    CharBuffer out = CharBuffer.allocate(bytes.length + 1);
    CoderResult result = decoder.decode(in, out, true);
    String text = out.flip().toString();
    if (result.isError()) {
      Position at = after(text, start);
      String seen = String.format("0x%02x", bytes[in.position()] & 0xff);
      problems.add(at, "byte " + seen + " is not UTF-8: save the file in UTF-8");
      return Optional.empty();
    }
    if (text.startsWith("\uFEFF")) {
      problems.add(
          after("", start), "the file starts with a byte-order mark: save it as UTF-8 without one");
      return Optional.empty();
    }
    return Optional.of(new SourceText(text, start, true));
  }

  /** A place in this text. */
  Position at(int line, int column) {
    return hasLines && line > 0
        ? new Position(start.source(), line, column, start.directory())
        : start;
  }

  /** The place a number of code points into this text. */
  Position at(int offset) {
    int end = text.offsetByCodePoints(0, Math.min(offset, text.codePointCount(0, text.length())));
    return hasLines ? after(text.substring(0, end), start) : start;
  }

  private static Position after(String text, Position start) {
    int line = 1 + (int) text.chars().filter(c -> c == '\n').count();
    String last = text.substring(text.lastIndexOf('\n') + 1);
    int column = 1 + last.codePointCount(0, last.length());
    return new Position(start.source(), line, column, start.directory());
  }
}
