package ai.nibble.gguf;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * The metadata of a file to be written: values by key, in the order in which they were put. A key
 * put again keeps its place and takes the new value.
 */
public final class GgufHeader {
  /** A value as the file holds it: its type and what follows. */
  private final Map<String, byte[]> values = new LinkedHashMap<>();

  public GgufHeader put(String key, String value) {
    byte[] text = value.getBytes(StandardCharsets.UTF_8);
    return put(key, type(MetadataType.STRING, 8 + text.length).putLong(text.length).put(text));
  }

  /** An unsigned integer of 32 bits. */
  public GgufHeader put(String key, int value) {
    if (value < 0) {
      throw new IllegalArgumentException(key + " is " + value + ", expected at least 0");
    }
    return put(key, type(MetadataType.UINT32, Integer.BYTES).putInt(value));
  }

  public GgufHeader put(String key, float value) {
    return put(key, type(MetadataType.FLOAT32, Float.BYTES).putFloat(value));
  }

  public GgufHeader put(String key, boolean value) {
    return put(key, type(MetadataType.BOOL, 1).put((byte) (value ? 1 : 0)));
  }

  public GgufHeader putStrings(String key, List<String> value) {
    List<byte[]> texts = value.stream().map(s -> s.getBytes(StandardCharsets.UTF_8)).toList();
    long bytes = texts.stream().mapToLong(text -> Long.BYTES + text.length).sum();
    ByteBuffer out = array(MetadataType.STRING, texts.size(), Math.toIntExact(bytes));
    texts.forEach(text -> out.putLong(text.length).put(text));
    return put(key, out);
  }

  /** Signed integers of 32 bits. */
  public GgufHeader putInts(String key, int[] value) {
    ByteBuffer out = array(MetadataType.INT32, value.length, value.length * Integer.BYTES);
    for (int element : value) {
      out.putInt(element);
    }
    return put(key, out);
  }

  public GgufHeader putFlags(String key, List<Boolean> value) {
    ByteBuffer out = array(MetadataType.BOOL, value.size(), value.size());
    value.forEach(flag -> out.put((byte) (flag ? 1 : 0)));
    return put(key, out);
  }

  public GgufHeader putFloats(String key, float[] value) {
    ByteBuffer out = array(MetadataType.FLOAT32, value.length, value.length * Float.BYTES);
    for (float element : value) {
      out.putFloat(element);
    }
    return put(key, out);
  }

  private GgufHeader put(String key, ByteBuffer value) {
    int keyBytes = key.getBytes(StandardCharsets.UTF_8).length;
    if (keyBytes < 1 || keyBytes > GgufReader.MAX_KEY_BYTES) {
      throw new IllegalArgumentException("a key of " + keyBytes + " bytes, expected 1 to 65535");
    }
    values.put(key, value.array());
    return this;
  }

  private static ByteBuffer type(MetadataType type, int bytes) {
    return ByteBuffer.allocate(Integer.BYTES + bytes)
        .order(ByteOrder.LITTLE_ENDIAN)
        .putInt(type.ordinal());
  }

  private static ByteBuffer array(MetadataType element, int count, int bytes) {
    return type(MetadataType.ARRAY, Integer.BYTES + Long.BYTES + bytes)
        .putInt(element.ordinal())
        .putLong(count);
  }

  /** Encoded values by key, in the file's order. */
  Map<String, byte[]> values() {
    return Collections.unmodifiableMap(values);
  }
}
