package ai.nibble.gguf;

import ai.nibble.InvalidInputException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Reads the part before the data, and refuses whatever breaks a rule of the format: then no length,
 * offset or count has to be doubted again.
 *
 * <p>Time and memory are bounded by the bytes present, not by declared sizes.
 */
final class GgufReader {
  static final int MAGIC = 0x46554747; // "GGUF", little-endian
  private static final int HEADER_BYTES = 24;

  /** Far beyond real files (under 100 keys, some 2,000 tensors), so that tables stay small. */
  private static final int MAX_COUNT = 1 << 16;

  static final int MAX_KEY_BYTES = (1 << 16) - 1;
  static final int MAX_NAME_BYTES = 63; // GGML_MAX_NAME counts a closing NUL
  private static final long MAX_ARRAY = 1L << 30;
  static final int DEFAULT_ALIGNMENT = 32;
  private static final int MAX_ALIGNMENT = 1 << 20;
  private static final String ALIGNMENT_KEY = "general.alignment";

  /** The least bytes an entry fills: key of one byte, type, one-byte value. */
  private static final int MIN_METADATA_BYTES = 8 + 1 + 4 + 1;

  /** The least bytes a table entry fills: name of one byte, rank 0, type, offset. */
  private static final int MIN_TENSOR_BYTES = 8 + 1 + 4 + 4 + 8;

  private final OpenFile file;
  private final Cursor cursor;

  private GgufReader(OpenFile file) {
    this.file = file;
    this.cursor = new Cursor(file, 0);
  }

  /** What the part before the data says. */
  record Contents(int version, GgufMetadata metadata, Map<String, GgufTensor> tensors) {}

  /** A row of the tensor table; {@code offset} counts from the start of the data. */
  private record Declared(String name, GgmlType type, List<Long> shape, long bytes, long offset) {}

  static Contents read(OpenFile file) {
    return new GgufReader(file).read();
  }

  private Contents read() {
    int version = version();
    long tensorCount = cursor.count("the number of tensors", MAX_COUNT, MIN_TENSOR_BYTES);
    long metadataCount = cursor.count("the number of metadata keys", MAX_COUNT, MIN_METADATA_BYTES);
    GgufMetadata metadata = metadata(metadataCount);
    int alignment = alignment(metadata);
    MetadataRules.check(metadata);
    return new Contents(version, metadata, tensors(tensorCount, alignment));
  }

  private int version() {
    if (file.size() < Integer.BYTES || cursor.int32("magic") != MAGIC) {
      throw notGguf();
    }
    if (file.size() < HEADER_BYTES) {
      throw cursor.bad(
          "the file has %d bytes, expected at least %d; download it again"
              .formatted(file.size(), HEADER_BYTES));
    }
    int version = cursor.int32("version");
    if (version == 2 || version == 3) {
      return version;
    }
    if (version == 0) {
      throw cursor.bad("version is 0, expected 2 or 3; the file is damaged, download it again");
    }
    if (version == 1) {
      throw cursor.bad(
          "version is 1, which llama.cpp dropped in 2023, expected 2 or 3; convert the model"
              + " again");
    }
    if ((version & 0xffff) == 0) {
      throw bigEndian();
    }
    throw cursor.bad(
        "version is %s, expected 2 or 3; the file is damaged or newer than this program"
            .formatted(Integer.toUnsignedString(version)));
  }

  private InvalidInputException bigEndian() {
    return cursor.bad(
        "the file is big-endian (made for s390x or such), expected little-endian;"
            + " convert it with gguf_convert_endian.py");
  }

  private InvalidInputException notGguf() {
    byte[] start = new byte[(int) Math.min(64, file.size())];
    file.read(0, start, 0, start.length);
    String text = new String(start, StandardCharsets.ISO_8859_1);
    if (text.startsWith("FUGG")) {
      return bigEndian();
    }
    String looks;
    if (start.length == 0) {
      looks = "it is empty; download it again";
    } else if (text.startsWith("version https://git-lfs")) {
      looks = "it is a Git LFS pointer; fetch the file itself with 'git lfs pull'";
    } else if (text.stripLeading().startsWith("<")) {
      looks = "it looks like a web page, perhaps an error page; download it again";
    } else if (text.startsWith("PK")) {
      looks = "it is a zip archive, perhaps a PyTorch checkpoint; convert the model to GGUF";
    } else if (List.of("lmgg", "fmgg", "tjgg", "algg").contains(first4(text))) {
      looks = "it is a GGML file from before GGUF; convert the model again";
    } else if (start.length > 8 && start[8] == '{') {
      looks = "it looks like safetensors; give its directory instead";
    } else {
      looks = "it is damaged or another format";
    }
    return cursor.bad(
        "starts with %s, expected 'GGUF': %s".formatted(Cursor.shown(first4(text)), looks));
  }

  private static String first4(String text) {
    return text.substring(0, Math.min(4, text.length()));
  }

  private GgufMetadata metadata(long count) {
    Map<String, GgufMetadata.Entry> entries = new LinkedHashMap<>();
    for (int i = 0; i < count; i++) {
      cursor.enter("metadata key " + i);
      String key = cursor.string("the key", MAX_KEY_BYTES);
      if (key.isEmpty()) {
        throw cursor.bad("is empty, expected a name; the file is damaged");
      }
      cursor.enter("metadata " + Cursor.shown(key));
      if (entries.put(key, value()) != null) {
        throw cursor.bad("occurs twice, expected once; convert the model again");
      }
    }
    return new GgufMetadata(file, entries);
  }

  private GgufMetadata.Entry value() {
    MetadataType type = type("type", cursor.int32("the type"));
    if (type == MetadataType.ARRAY) {
      return array();
    }
    long position = cursor.position();
    pass(type, 1);
    return new GgufMetadata.Entry(type, type, 1, position);
  }

  private GgufMetadata.Entry array() {
    MetadataType type = type("element type", cursor.int32("the element type"));
    if (type == MetadataType.ARRAY) {
      throw cursor.bad("is an array of arrays, expected plain elements; convert the model again");
    }
    long bytesEach = type == MetadataType.STRING ? Long.BYTES : type.bytes();
    long count = cursor.count("the array's length", MAX_ARRAY, bytesEach);
    long position = cursor.position();
    pass(type, count);
    return new GgufMetadata.Entry(MetadataType.ARRAY, type, count, position);
  }

  private MetadataType type(String what, int number) {
    MetadataType type = MetadataType.ofNumber(number);
    if (type == null) {
      throw cursor.bad(
          "%s is %s, expected 0 to 12; the file is damaged or newer than this program"
              .formatted(what, Integer.toUnsignedString(number)));
    }
    return type;
  }

  /** Passes over values of one type, checking what can be wrong about each. */
  private void pass(MetadataType type, long count) {
    switch (type) {
      case STRING -> {
        for (long i = 0; i < count; i++) {
          cursor.skipString("a string", Cursor.MAX_STRING_BYTES);
        }
      }
      case BOOL -> {
        for (long i = 0; i < count; i++) {
          int value = cursor.int8("a bool") & 0xff;
          if (value > 1) {
            throw cursor.bad("a bool is " + value + ", expected 0 or 1; the file is damaged");
          }
        }
      }
      default -> cursor.take(count * type.bytes(), "the value");
    }
  }

  private int alignment(GgufMetadata metadata) {
    if (!metadata.contains(ALIGNMENT_KEY)) {
      return DEFAULT_ALIGNMENT;
    }
    MetadataType type = metadata.type(ALIGNMENT_KEY);
    if (type != MetadataType.UINT32) {
      throw metadata.bad(
          ALIGNMENT_KEY, "is " + type + ", expected UINT32; convert the model again");
    }
    long alignment = metadata.getLong(ALIGNMENT_KEY);
    if (alignment < 1 || alignment > MAX_ALIGNMENT || Long.bitCount(alignment) != 1) {
      throw metadata.bad(
          ALIGNMENT_KEY,
          "is %d, expected a power of two up to %d; convert the model again"
              .formatted(alignment, MAX_ALIGNMENT));
    }
    return (int) alignment;
  }

  private Map<String, GgufTensor> tensors(long count, int alignment) {
    List<Declared> table = new ArrayList<>();
    for (int i = 0; i < count; i++) {
      cursor.enter("tensor " + i);
      table.add(declared());
    }
    long dataStart = padded(cursor.position(), alignment);
    Map<String, GgufTensor> tensors = new LinkedHashMap<>();
    long expected = 0;
    for (Declared d : table) {
      cursor.enter("tensor " + Cursor.shown(d.name));
      if (d.offset != expected) {
        throw cursor.bad(
            "data offset is %s, expected %d, right after the tensor before it; download it again"
                .formatted(Long.toUnsignedString(d.offset), expected));
      }
      // Neither sum overflows: what is compared is below the file's size, itself checked at once.
      long present = Math.max(0, file.size() - dataStart);
      if (expected > present || d.bytes > present - expected) {
        throw cursor.bad(
            "needs %d bytes at byte %d, but the file ends at byte %d; download it again"
                .formatted(d.bytes, dataStart + expected, file.size()));
      }
      GgufTensor tensor = new GgufTensor(d.name, d.type, d.shape, dataStart + expected, d.bytes);
      if (tensors.put(d.name, tensor) != null) {
        throw cursor.bad("occurs twice, expected once; convert the model again");
      }
      expected = padded(expected + d.bytes, alignment);
    }
    return Collections.unmodifiableMap(tensors);
  }

  private Declared declared() {
    String name = cursor.string("the name", MAX_NAME_BYTES);
    if (name.isEmpty()) {
      throw cursor.bad("the name is empty; the file is damaged");
    }
    cursor.enter("tensor " + Cursor.shown(name));
    int rank = cursor.int32("the number of dimensions");
    if (rank < 0 || rank > GgufTensor.MAX_RANK) {
      throw cursor.bad(
          "has %s dimensions, expected at most %d; the file is damaged"
              .formatted(Integer.toUnsignedString(rank), GgufTensor.MAX_RANK));
    }
    List<Long> shape = new ArrayList<>(rank);
    for (int i = 0; i < rank; i++) {
      shape.add(cursor.int64("a dimension"));
    }
    Collections.reverse(shape);
    GgmlType type = ggmlType(cursor.int32("the type"));
    try {
      long bytes = GgufTensor.byteCount(type, shape);
      return new Declared(name, type, shape, bytes, cursor.int64("the data offset"));
    } catch (ArithmeticException e) {
      throw cursor.bad(e.getMessage() + "; the file is damaged");
    }
  }

  private GgmlType ggmlType(int number) {
    GgmlType type = GgmlType.ofNumber(number);
    if (type != null) {
      return type;
    }
    String removed = GgmlType.removed(number);
    throw cursor.bad(
        removed != null
            ? "type is %d (%s), which ggml removed; convert the model again, for example to Q8_0"
                .formatted(number, removed)
            : "type is %s, which is no ggml type known here; convert the model, for example to Q8_0"
                .formatted(Integer.toUnsignedString(number)));
  }

  static long padded(long position, int alignment) {
    return position + (-position & alignment - 1);
  }
}
