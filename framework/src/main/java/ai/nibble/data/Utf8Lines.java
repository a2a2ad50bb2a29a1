package ai.nibble.data;

import ai.nibble.FileProblem;
import ai.nibble.InvalidInputException;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;

/** Lines of strict UTF-8, ended by LF or CRLF, each bounded; a byte order mark is skipped. */
final class Utf8Lines {
  private static final int MAX_LINE = 64 << 20;

  private final InputStream in;
  private final Path path;
  private long number;
  private boolean ended;

  Utf8Lines(InputStream in, Path path) {
    this.in = in;
    this.path = path;
    firstByte(in, path);
  }

  /**
   * The first byte that is not white space, which is left to be read, or −1. Skips a UTF-8 byte
   * order mark and refuses UTF-16's.
   */
  static int firstByte(InputStream in, Path path) {
    try {
      in.mark(1 << 16);
      int first = in.read();
      int second = in.read();
      if ((first == 0xff && second == 0xfe) || (first == 0xfe && second == 0xff)) {
        throw new InvalidInputException(path + ":1: the file is UTF-16, expected UTF-8");
      }
      boolean mark = first == 0xef && second == 0xbb && in.read() == 0xbf;
      in.reset();
      if (mark) {
        in.skipNBytes(3);
        in.mark(1 << 16);
      }
      int c = in.read();
      for (int i = 0; i < 60_000 && (c == ' ' || c == '\n' || c == '\r' || c == '\t'); i++) {
        c = in.read();
      }
      in.reset();
      return c;
    } catch (IOException e) {
      throw new InvalidInputException(path + " cannot be read: " + FileProblem.reason(e), e);
    }
  }

  /** The number of the line that {@link #next} gave last, from 1. */
  long number() {
    return number;
  }

  /**
   * The next line without its end; null behind the last, and behind what could not be read whole.
   *
   * @throws InvalidInputException for a line that is not UTF-8 or too long
   */
  String next() {
    if (ended) {
      return null;
    }
    ByteArrayOutputStream line = new ByteArrayOutputStream(256);
    try {
      int c = in.read();
      if (c < 0) {
        return null;
      }
      number++;
      for (; c >= 0 && c != '\n'; c = in.read()) {
        if (line.size() >= MAX_LINE) {
          ended = true;
          throw new InvalidInputException(
              path + ":" + number + ": the line is longer than " + (MAX_LINE >> 20) + " MiB");
        }
        line.write(c);
      }
    } catch (IOException e) {
      ended = true;
      throw new InvalidInputException(path + " cannot be read: " + FileProblem.reason(e), e);
    }
    return decode(line.toByteArray());
  }

  private String decode(byte[] bytes) {
    int length = bytes.length;
    if (length > 0 && bytes[length - 1] == '\r') {
      length--;
    }
    try {
      // A new decoder reports malformed bytes instead of replacing them.
      ByteBuffer buffer = ByteBuffer.wrap(bytes, 0, length);
      return StandardCharsets.UTF_8.newDecoder().decode(buffer).toString();
    } catch (CharacterCodingException e) {
      boolean utf16 = length > 1 && (bytes[0] == 0 || bytes[1] == 0);
      throw new InvalidInputException(
          path + ":" + number + ": not valid UTF-8" + (utf16 ? "; it looks like UTF-16" : ""), e);
    }
  }
}
