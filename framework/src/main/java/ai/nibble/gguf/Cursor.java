package ai.nibble.gguf;

import ai.nibble.InvalidInputException;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;

/** Reads a file from front to back, every length checked against the bytes that are left. */
final class Cursor {
  /** llama.cpp's limit on any string. */
  static final long MAX_STRING_BYTES = 1L << 30;

  private static final VarHandle INTS =
      MethodHandles.byteArrayViewVarHandle(int[].class, ByteOrder.LITTLE_ENDIAN);
  private static final VarHandle LONGS =
      MethodHandles.byteArrayViewVarHandle(long[].class, ByteOrder.LITTLE_ENDIAN);

  private static final int BUFFER_BYTES = 1 << 13;

  private final OpenFile file;
  private long position;
  private String place = "header";

  /** The file's bytes {@code [bufferBegin, bufferEnd)}, from index 0 on. */
  private final byte[] buffer = new byte[BUFFER_BYTES];

  private long bufferBegin;
  private long bufferEnd;

  Cursor(OpenFile file, long position) {
    this.file = file;
    this.position = position;
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
    return buffer[buffered(1, what)];
  }

  int int16(String what) {
    return (int8(what) & 0xff) | int8(what) << 8;
  }

  int int32(String what) {
    return (int) INTS.get(buffer, buffered(4, what));
  }

  long int64(String what) {
    return (long) LONGS.get(buffer, buffered(8, what));
  }

  /** Takes up to 8 bytes; the return value is their index in the buffer. */
  private int buffered(int bytes, String what) {
    long begin = take(bytes, what);
    if (begin < bufferBegin || position > bufferEnd) {
      int count = (int) Math.min(BUFFER_BYTES, file.size() - begin);
      file.read(begin, buffer, 0, count);
      bufferBegin = begin;
      bufferEnd = begin + count;
    }
    return (int) (begin - bufferBegin);
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
          "%s is %d, which needs at least %d bytes, but the file ends after %d more; download it again"
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

  /** A string, or a problem where it is too long or not UTF-8. */
  String string(String what, long limit) {
    byte[] bytes = bytes(skipString(what, limit));
    try {
      return StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(bytes)).toString();
    } catch (CharacterCodingException e) {
      throw bad(what + " is not valid UTF-8; the file is damaged");
    }
  }

  /** The {@code count} bytes before the present position; owned by the caller. */
  byte[] bytes(long count) {
    byte[] bytes = new byte[Math.toIntExact(count)];
    long begin = position - count;
    if (begin >= bufferBegin && position <= bufferEnd) {
      System.arraycopy(buffer, (int) (begin - bufferBegin), bytes, 0, bytes.length);
    } else {
      file.read(begin, bytes, 0, bytes.length);
    }
    return bytes;
  }

  /** Passes over {@code bytes} bytes; the return value is where they begin. */
  long take(long bytes, String what) {
    if (bytes > remaining()) {
      throw bad(
          "%s needs %d bytes at byte %d, but the file ends after %d more; download it again"
              .formatted(what, bytes, position, remaining()));
    }
    long begin = position;
    position += bytes;
    return begin;
  }

  /** A name from the file as messages show it: one line, bounded, nothing a terminal acts on. */
  static String shown(String name) {
    StringBuilder out = new StringBuilder("'");
    name.codePoints()
        .limit(80)
        .forEach(
            c -> {
              if (unprintable(c)) {
                out.append("\\u%04x".formatted(c));
              } else {
                out.appendCodePoint(c);
              }
            });
    return out.append(name.codePointCount(0, name.length()) > 80 ? "…'" : "'").toString();
  }

  private static boolean unprintable(int c) {
    return switch (Character.getType(c)) {
      case Character.CONTROL,
          Character.FORMAT,
          Character.LINE_SEPARATOR,
          Character.PARAGRAPH_SEPARATOR ->
          true;
      default -> false;
    };
  }
}
