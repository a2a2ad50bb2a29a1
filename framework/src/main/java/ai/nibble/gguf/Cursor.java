package ai.nibble.gguf;

import ai.nibble.InvalidInputException;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;

/** Reads a file from front to back, every length checked against the bytes that are left. */
final class Cursor {
  /** llama.cpp's limit on any string. */
  static final long MAX_STRING_BYTES = 1L << 30;

  private final MappedFile file;
  private long position;
  private String place = "header";

  Cursor(MappedFile file) {
    this.file = file;
  }

  /** Names what is read from here on, for messages. */
  void enter(String place) {
    this.place = place;
  }

  long position() {
    return position;
  }

  long remaining() {
    return file.size() - position;
  }

  /**
   * A problem at the present place; {@code problem} says what was seen, expected and what to do.
   */
  InvalidInputException bad(String problem) {
    return new InvalidInputException(file.path() + ": " + place + ": " + problem);
  }

  byte int8(String what) {
    return file.byteAt(take(1, what));
  }

  int int32(String what) {
    return file.intAt(take(4, what));
  }

  long int64(String what) {
    return file.longAt(take(8, what));
  }

  /** A number of things, of which each fills at least {@code bytesEach} bytes of what is left. */
  long count(String what, long limit, long bytesEach) {
    long count = int64(what);
    if (count < 0 || count > limit) {
      throw bad(
          "%s is %s, expected 0 to %d; the file is damaged"
              .formatted(what, Long.toUnsignedString(count), limit));
    }
    if (count > remaining() / bytesEach) {
      throw bad(
          "%s is %d, which needs at least %d bytes, but the file ends after %d; download it again"
              .formatted(what, count, count * bytesEach, remaining()));
    }
    return count;
  }

  /** Passes over a string; the return value is its length in bytes. */
  long skipString(String what, long limit) {
    long length = int64(what);
    if (length < 0 || length > limit) {
      throw bad(
          "%s declares %s bytes, expected at most %d; the file is damaged"
              .formatted(what, Long.toUnsignedString(length), limit));
    }
    take(length, what);
    return length;
  }

  String string(String what, int limit) {
    int length = (int) skipString(what, limit);
    return text(file, position - length, length, this, what);
  }

  /** Passes over {@code bytes} bytes; the return value is where they begin. */
  long take(long bytes, String what) {
    if (bytes > remaining()) {
      throw bad(
          "%s needs %d bytes at byte %d, but the file ends after %d; download it again"
              .formatted(what, bytes, position, remaining()));
    }
    long begin = position;
    position += bytes;
    return begin;
  }

  private static String text(MappedFile file, long begin, int length, Cursor cursor, String what) {
    String text = utf8(file, begin, length);
    if (text == null) {
      throw cursor.bad(what + " is not valid UTF-8; the file is damaged");
    }
    return text;
  }

  /** The text of these bytes, or null where they are not UTF-8. */
  static String utf8(MappedFile file, long begin, int length) {
    byte[] bytes = new byte[length];
    file.read(begin, bytes, 0, length);
    try {
      return StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(bytes)).toString();
    } catch (CharacterCodingException e) {
      return null;
    }
  }

  /** A name from the file as messages show it: one line, bounded, nothing a terminal acts on. */
  static String shown(String name) {
    StringBuilder out = new StringBuilder("'");
    name.codePoints()
        .limit(80)
        .forEach(
            c -> {
              if (Character.isISOControl(c) || Character.getType(c) == Character.FORMAT) {
                out.append("\\u%04x".formatted(c));
              } else {
                out.appendCodePoint(c);
              }
            });
    return out.append(name.codePointCount(0, name.length()) > 80 ? "…'" : "'").toString();
  }
}
