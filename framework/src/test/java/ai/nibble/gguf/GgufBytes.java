package ai.nibble.gguf;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;

/** Writes GGUF files for tests, field by field, so that any field can be wrong. */
public final class GgufBytes {
  public static final int UINT8 = 0;
  public static final int UINT32 = 4;
  public static final int INT32 = 5;
  public static final int FLOAT32 = 6;
  public static final int BOOL = 7;
  public static final int STRING = 8;
  public static final int ARRAY = 9;
  public static final int UINT64 = 10;

  private final ByteArrayOutputStream bytes = new ByteArrayOutputStream();

  /** A version 3 header. */
  public static GgufBytes header(long tensors, long metadata) {
    return new GgufBytes().text("GGUF").u32(3).u64(tensors).u64(metadata);
  }

  public GgufBytes text(String text) {
    return raw(text.getBytes(StandardCharsets.UTF_8));
  }

  public GgufBytes raw(byte[] raw) {
    bytes.writeBytes(raw);
    return this;
  }

  public GgufBytes raw(int... values) {
    for (int value : values) {
      bytes.write(value);
    }
    return this;
  }

  public GgufBytes u32(long value) {
    return raw(ByteBuffer.allocate(4).order(ByteOrder.LITTLE_ENDIAN).putInt((int) value).array());
  }

  public GgufBytes u64(long value) {
    return raw(ByteBuffer.allocate(8).order(ByteOrder.LITTLE_ENDIAN).putLong(value).array());
  }

  public GgufBytes f32(float value) {
    return u32(Float.floatToRawIntBits(value));
  }

  public GgufBytes string(String text) {
    return u64(text.getBytes(StandardCharsets.UTF_8).length).text(text);
  }

  /** Key and type of a value, which follows. */
  public GgufBytes key(String key, int type) {
    return string(key).u32(type);
  }

  public GgufBytes key(String key, String value) {
    return key(key, STRING).string(value);
  }

  public GgufBytes uint32(String key, long value) {
    return key(key, UINT32).u32(value);
  }

  /** Key and head of an array, whose elements follow. */
  public GgufBytes array(String key, int elementType, long count) {
    return key(key, ARRAY).u32(elementType).u64(count);
  }

  public GgufBytes strings(String key, String... values) {
    array(key, STRING, values.length);
    for (String value : values) {
      string(value);
    }
    return this;
  }

  /** A row of the tensor table; sizes in the file's order, fastest first. */
  public GgufBytes tensor(String name, int type, long offset, long... sizes) {
    string(name).u32(sizes.length);
    for (long size : sizes) {
      u64(size);
    }
    return u32(type).u64(offset);
  }

  public GgufBytes pad(int alignment) {
    while (bytes.size() % alignment != 0) {
      bytes.write(0);
    }
    return this;
  }

  public byte[] bytes() {
    return bytes.toByteArray();
  }

  public Path write(Path file) {
    try {
      return Files.write(file, bytes());
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }
}
