package ai.nibble.gguf;

import ai.nibble.InvalidInputException;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Predicate;

/**
 * The metadata of one open GGUF file: typed access by key.
 *
 * <p>Values stay in the file until they are asked for. Every getter raises {@link
 * InvalidInputException}, naming file, key, what is there and what was expected, if the key is
 * missing or its value has another type; integers of any width and sign serve where they fit.
 */
public final class GgufMetadata {
  /** Beyond any vocabulary (the largest known have some 300 thousand tokens). */
  private static final long MAX_ELEMENTS = 1 << 22;

  private static final long MAX_TEXT_BYTES = 1 << 28;

  /**
   * Where a value lies.
   *
   * @param type of the value
   * @param elementType of an array's elements, else the type itself
   * @param count an array's elements, else 1
   * @param position first byte of the value, of an array's first element
   */
  record Entry(MetadataType type, MetadataType elementType, long count, long position) {}

  private final OpenFile file;
  private final Map<String, Entry> entries;

  GgufMetadata(OpenFile file, Map<String, Entry> entries) {
    this.file = file;
    this.entries = Collections.unmodifiableMap(entries);
  }

  /** The keys in the file's order. */
  public Set<String> keys() {
    return entries.keySet();
  }

  public boolean contains(String key) {
    return entries.containsKey(key);
  }

  /** The value's type. */
  public MetadataType type(String key) {
    return entry(key).type();
  }

  /** The type of an array's elements. */
  public MetadataType elementType(String key) {
    return array(key, "an array", any -> true).elementType();
  }

  /** An array's number of elements. */
  public long size(String key) {
    return array(key, "an array", any -> true).count();
  }

  public String getString(String key) {
    Entry entry = scalar(key, "STRING", type -> type == MetadataType.STRING);
    return cursor(key, entry).string("the value", MAX_TEXT_BYTES);
  }

  public String getString(String key, String absent) {
    return contains(key) ? getString(key) : absent;
  }

  public boolean getBoolean(String key) {
    Entry entry = scalar(key, "BOOL", type -> type == MetadataType.BOOL);
    return cursor(key, entry).int8("the value") != 0;
  }

  public boolean getBoolean(String key, boolean absent) {
    return contains(key) ? getBoolean(key) : absent;
  }

  /** An integer of any type; a uint64 above {@code 2^63 - 1} is refused. */
  public long getLong(String key) {
    Entry entry = scalar(key, "an integer", MetadataType::isInteger);
    return integer(cursor(key, entry), entry.type());
  }

  public long getLong(String key, long absent) {
    return contains(key) ? getLong(key) : absent;
  }

  /** An integer within {@code [min, max]}; outside it is refused like a wrong type. */
  public int getInt(String key, int min, int max) {
    long value = getLong(key);
    if (value < min || value > max) {
      throw bad(key, "is " + value + ", expected " + min + " to " + max);
    }
    return (int) value;
  }

  /** A float32, or a float64 rounded to one. */
  public float getFloat(String key) {
    Entry entry = scalar(key, "a floating-point number", MetadataType::isFloatingPoint);
    return number(cursor(key, entry), entry.type());
  }

  public float getFloat(String key, float absent) {
    return contains(key) ? getFloat(key) : absent;
  }

  /** An array of strings; at most 4,194,304 of them and 256 MiB. */
  public List<String> getStrings(String key) {
    Entry entry = array(key, "an array of STRING", type -> type == MetadataType.STRING);
    int count = bounded(key, entry);
    List<String> strings = new ArrayList<>(count);
    Cursor cursor = cursor(key, entry);
    long left = MAX_TEXT_BYTES;
    for (int i = 0; i < count; i++) {
      long begin = cursor.position();
      strings.add(cursor.string("the text left to read", left));
      left -= cursor.position() - begin - Long.BYTES;
    }
    return Collections.unmodifiableList(strings);
  }

  /** An array of integers of any type; at most 4,194,304 of them; owned by the caller. */
  public long[] getLongs(String key) {
    Entry entry = array(key, "an array of integers", MetadataType::isInteger);
    long[] values = new long[bounded(key, entry)];
    Cursor cursor = cursor(key, entry);
    for (int i = 0; i < values.length; i++) {
      values[i] = integer(cursor, entry.elementType());
    }
    return values;
  }

  /** An array of bools, or of integers that are 0 or not; at most 4,194,304 of them. */
  public List<Boolean> getFlags(String key) {
    Entry entry =
        array(
            key,
            "an array of BOOL or of integers",
            type -> type == MetadataType.BOOL || type.isInteger());
    List<Boolean> flags = new ArrayList<>(bounded(key, entry));
    Cursor cursor = cursor(key, entry);
    boolean bools = entry.elementType() == MetadataType.BOOL;
    for (int i = 0; i < entry.count(); i++) {
      flags.add((bools ? cursor.int8("a bool") : integer(cursor, entry.elementType())) != 0);
    }
    return Collections.unmodifiableList(flags);
  }

  /** An array of floating-point numbers; at most 4,194,304 of them; owned by the caller. */
  public float[] getFloats(String key) {
    Entry entry = array(key, "an array of floating-point numbers", MetadataType::isFloatingPoint);
    float[] values = new float[bounded(key, entry)];
    Cursor cursor = cursor(key, entry);
    for (int i = 0; i < values.length; i++) {
      values[i] = number(cursor, entry.elementType());
    }
    return values;
  }

  /** A problem with a key's value. */
  public InvalidInputException bad(String key, String problem) {
    return new InvalidInputException(
        file.path() + ": metadata " + Cursor.shown(key) + ": " + problem);
  }

  Entry entry(String key) {
    Entry entry = entries.get(key);
    if (entry == null) {
      throw new InvalidInputException(
          "%s: no metadata %s among its %d keys; convert the model again with a current converter"
              .formatted(file.path(), Cursor.shown(key), entries.size()));
    }
    return entry;
  }

  private Entry scalar(String key, String expected, Predicate<MetadataType> accepted) {
    Entry entry = entry(key);
    if (!accepted.test(entry.type())) {
      throw bad(key, "is " + describe(entry) + ", expected " + expected);
    }
    return entry;
  }

  private Entry array(String key, String expected, Predicate<MetadataType> accepted) {
    Entry entry = entry(key);
    if (entry.type() != MetadataType.ARRAY || !accepted.test(entry.elementType())) {
      throw bad(key, "is " + describe(entry) + ", expected " + expected);
    }
    return entry;
  }

  private static String describe(Entry entry) {
    return entry.type() == MetadataType.ARRAY
        ? "an array of " + entry.count() + " " + entry.elementType()
        : entry.type().toString();
  }

  private int bounded(String key, Entry entry) {
    if (entry.count() > MAX_ELEMENTS) {
      throw bad(key, "has " + entry.count() + " elements, more than the " + MAX_ELEMENTS + " read");
    }
    return (int) entry.count();
  }

  /** Stands at the first byte of a value, of an array's first element. */
  Cursor cursor(String key, Entry entry) {
    Cursor cursor = new Cursor(file, entry.position());
    cursor.enter("metadata " + Cursor.shown(key));
    return cursor;
  }

  private static long integer(Cursor cursor, MetadataType type) {
    String what = "the value";
    return switch (type) {
      case UINT8 -> cursor.int8(what) & 0xff;
      case INT8 -> cursor.int8(what);
      case UINT16 -> cursor.int16(what) & 0xffff;
      case INT16 -> cursor.int16(what);
      case UINT32 -> cursor.int32(what) & 0xffffffffL;
      case INT32 -> cursor.int32(what);
      case INT64 -> cursor.int64(what);
      case UINT64 -> {
        long value = cursor.int64(what);
        if (value < 0) {
          throw cursor.bad("is " + Long.toUnsignedString(value) + ", expected at most 2^63 - 1");
        }
        yield value;
      }
      default -> throw new IllegalArgumentException(type + " is no integer");
    };
  }

  private static float number(Cursor cursor, MetadataType type) {
    return type == MetadataType.FLOAT32
        ? Float.intBitsToFloat(cursor.int32("the value"))
        : (float) Double.longBitsToDouble(cursor.int64("the value"));
  }
}
