package ai.nibble.gguf;

import static ai.nibble.gguf.GgufBytes.BOOL;
import static ai.nibble.gguf.GgufBytes.FLOAT32;
import static ai.nibble.gguf.GgufBytes.UINT64;
import static ai.nibble.gguf.GgufBytes.UINT8;
import static ai.nibble.gguf.GgufBytes.header;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.InvalidInputException;
import java.io.IOException;
import java.nio.FloatBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

class GgufFileTest {
  private static final int ROWS = 7;
  private static final int COLUMNS = 512;

  @TempDir Path directory;

  @Test
  void shapesAreGivenSlowestDimensionFirst() {
    Path path =
        header(2, 0)
            .tensor("w", 0, 0, 3, 2)
            .tensor("scalar", 0, 32)
            .pad(32)
            .raw(new byte[36])
            .write(directory.resolve("a.gguf"));
    try (GgufFile file = GgufFile.open(path)) {
      assertEquals(List.of("w", "scalar"), List.copyOf(file.names()));
      assertEquals(List.of(2L, 3L), file.tensor("w").shape());
      assertEquals(3, file.tensor("w").rowElements());
      assertEquals(List.of(), file.tensor("scalar").shape());
      assertEquals(1, file.tensor("scalar").elements());
      assertEquals(3, file.version());
    }
  }

  @Test
  void versionTwoIsRead() {
    Path path = new GgufBytes().text("GGUF").u32(2).u64(0).u64(1).uint32("a", 5).write(file());
    try (GgufFile file = GgufFile.open(path)) {
      assertEquals(2, file.version());
      assertEquals(5, file.metadata().getLong("a"));
    }
  }

  @Test
  void anotherAlignmentMovesTheData() {
    Path path =
        header(2, 1)
            .uint32("general.alignment", 256)
            .tensor("a", 0, 0, 1)
            .tensor("b", 0, 256, 1)
            .pad(256)
            .f32(1.5f)
            .pad(256)
            .f32(2.5f)
            .write(file());
    try (GgufFile file = GgufFile.open(path)) {
      assertArrayEquals(new float[] {1.5f}, values(file, "a", 0, 1));
      assertArrayEquals(new float[] {2.5f}, values(file, "b", 0, 1));
    }
  }

  @Test
  void everyMetadataTypeIsReadAtItsEdges() {
    GgufBytes bytes =
        header(0, 15)
            .key("u8", 0)
            .raw(255)
            .key("i8", 1)
            .raw(128)
            .key("u16", 2)
            .raw(255, 255)
            .key("i16", 3)
            .raw(0, 128)
            .key("u32", 4)
            .u32(-1)
            .key("i32", 5)
            .u32(Integer.MIN_VALUE)
            .key("u64", 10)
            .u64(Long.MAX_VALUE)
            .key("u64 too large", 10)
            .u64(-1)
            .key("i64", 11)
            .u64(Long.MIN_VALUE)
            .key("f32", 6)
            .f32(0.1f)
            .key("f64", 12)
            .u64(Double.doubleToRawLongBits(0.1))
            .key("bool", BOOL)
            .raw(1)
            .key("text", "grüße\n🤗")
            .array("floats", FLOAT32, 2)
            .f32(-0f)
            .f32(3)
            .array("bytes", UINT8, 3)
            .raw(0, 7, 255);
    try (GgufFile file = GgufFile.open(bytes.write(file()))) {
      GgufMetadata m = file.metadata();
      assertEquals(255, m.getLong("u8"));
      assertEquals(-128, m.getLong("i8"));
      assertEquals(65535, m.getLong("u16"));
      assertEquals(-32768, m.getLong("i16"));
      assertEquals(4294967295L, m.getLong("u32"));
      assertEquals(Integer.MIN_VALUE, m.getInt("i32", Integer.MIN_VALUE, 0));
      assertEquals(Long.MAX_VALUE, m.getLong("u64"));
      assertEquals(Long.MIN_VALUE, m.getLong("i64"));
      assertEquals(0.1f, m.getFloat("f32"));
      assertEquals(0.1f, m.getFloat("f64"));
      assertTrue(m.getBoolean("bool"));
      assertEquals("grüße\n🤗", m.getString("text"));
      assertArrayEquals(new float[] {-0f, 3}, m.getFloats("floats"));
      assertArrayEquals(new long[] {0, 7, 255}, m.getLongs("bytes"));
      assertEquals(MetadataType.UINT8, m.elementType("bytes"));
      refused(() -> m.getLong("u64 too large"), "'u64 too large'", "18446744073709551615");
    }
  }

  @Test
  void metadataOfAnotherTypeIsNamedWithWhatItIs() {
    GgufBytes bytes =
        header(0, 3).uint32("n", 9).strings("s", "a", "b").array("u", UINT64, 1).u64(-1);
    try (GgufFile file = GgufFile.open(bytes.write(file()))) {
      GgufMetadata m = file.metadata();
      refused(() -> m.getString("n"), "'n'", "is UINT32, expected STRING");
      refused(() -> m.getFloat("n"), "is UINT32, expected a floating-point number");
      refused(() -> m.getBoolean("n"), "is UINT32, expected BOOL");
      refused(() -> m.getInt("n", 0, 8), "is 9, expected 0 to 8");
      refused(() -> m.getLong("s"), "is an array of 2 STRING, expected an integer");
      refused(() -> m.getLongs("s"), "is an array of 2 STRING, expected an array of integers");
      refused(() -> m.getFloats("u"), "is an array of 1 UINT64");
      refused(() -> m.getStrings("n"), "is UINT32, expected an array of STRING");
      refused(() -> m.getLongs("u"), "18446744073709551615");
      refused(() -> m.getString("absent"), "no metadata 'absent' among its 3 keys");
      assertFalse(m.contains("absent"));
      assertEquals("x", m.getString("absent", "x"));
      assertEquals(7, m.getLong("absent", 7));
      assertEquals(1.5f, m.getFloat("absent", 1.5f));
      assertTrue(m.getBoolean("absent", true));
      refused(() -> m.getLong("s", 7), "an integer"); // a default does not hide a wrong type
    }
  }

  @Test
  void textThatIsNoUtf8IsRefusedWhenAskedFor() {
    GgufBytes bytes = header(0, 1).key("a", GgufBytes.STRING).u64(2).raw(0xc3, 0x28);
    try (GgufFile file = GgufFile.open(bytes.write(file()))) {
      refused(() -> file.metadata().getString("a"), "'a'", "UTF-8");
    }
  }

  @Test
  void anArrayLargerThanAnyVocabularyIsNotCopied() {
    int count = (1 << 22) + 1;
    GgufBytes bytes = header(0, 1).array("a", UINT8, count).raw(new byte[count]);
    try (GgufFile file = GgufFile.open(bytes.write(file()))) {
      assertEquals(count, file.metadata().size("a"));
      refused(() -> file.metadata().getLongs("a"), "4194305", "4194304");
    }
  }

  @ParameterizedTest
  @EnumSource
  void anyRangeOfAnySupportedTypeEqualsThatPartOfTheWhole(GgmlType type) throws IOException {
    Path path = random(type);
    int elements = ROWS * COLUMNS;
    if (!type.isSupported()) {
      try (GgufFile file = GgufFile.open(path)) {
        refused(
            () -> values(file, "w", 0, 1),
            "'w'",
            "type " + type,
            "number " + type.number(),
            "Q8_0");
      }
      return;
    }
    Random random = new Random(type.number());
    try (GgufFile file = GgufFile.open(path)) {
      float[] whole = values(file, "w", 0, elements);
      for (int round = 0; round < 200; round++) {
        int first = random.nextInt(elements + 1);
        int count = random.nextInt(Math.min(elements - first, 600) + 1);
        float[] expected = Arrays.copyOfRange(whole, first, first + count);
        assertArrayEquals(expected, values(file, "w", first, count));
        FloatBuffer buffer = FloatBuffer.allocate(count + 5);
        file.dequantize("w", first, count, buffer, 3);
        assertEquals(0, buffer.position());
        assertEquals(FloatBuffer.wrap(expected), buffer.slice(3, count));
      }
    }
  }

  @Test
  void manyThreadsReadOneFile() throws IOException {
    Path path = random(GgmlType.Q4_1);
    try (GgufFile file = GgufFile.open(path)) {
      float[] whole = values(file, "w", 0, ROWS * COLUMNS);
      float[] parallel = new float[whole.length];
      IntStream.range(0, ROWS)
          .parallel()
          .forEach(r -> file.dequantize("w", (long) r * COLUMNS, COLUMNS, parallel, r * COLUMNS));
      assertArrayEquals(whole, parallel);
    }
  }

  @Test
  void rangesOutsideTheTensorOrTheTargetAreRefused() throws IOException {
    try (GgufFile file = GgufFile.open(random(GgmlType.Q8_0))) {
      int elements = ROWS * COLUMNS;
      float[] out = new float[8];
      assertThrows(
          IndexOutOfBoundsException.class, () -> file.dequantize("w", elements - 3, 4, out, 0));
      assertThrows(IndexOutOfBoundsException.class, () -> file.dequantize("w", -1, 4, out, 0));
      assertThrows(IndexOutOfBoundsException.class, () -> file.dequantize("w", 0, -1, out, 0));
      assertThrows(IndexOutOfBoundsException.class, () -> file.dequantize("w", 0, 4, out, 5));
      assertThrows(
          IndexOutOfBoundsException.class,
          () -> file.dequantize("w", 0, 4, FloatBuffer.wrap(out), 5));
      refused(() -> values(file, "v", 0, 1), "no tensor 'v' among its 1 tensors");
    }
  }

  @Test
  void aClosedFileIsNotRead() throws IOException {
    GgufFile file = GgufFile.open(random(GgmlType.F16));
    file.close();
    file.close();
    assertThrows(IllegalStateException.class, () -> values(file, "w", 0, 1));
  }

  @Test
  void aFileTruncatedWhileOpenIsReported() throws IOException {
    Path path = random(GgmlType.F32);
    try (GgufFile file = GgufFile.open(path)) {
      try (FileChannel channel = FileChannel.open(path, StandardOpenOption.WRITE)) {
        channel.truncate(64);
      }
      refused(() -> values(file, "w", ROWS * COLUMNS - 1, 1), "truncated while in use");
    }
  }

  @Test
  void aMissingFileAndADirectoryAreNamed() {
    refused(() -> GgufFile.open(directory), directory + ": not a regular file");
    Path absent = directory.resolve("absent.gguf");
    refused(() -> GgufFile.open(absent), absent + ": no such file");
  }

  @Test
  void theMissingPartsOfASplitModelAreNamed() {
    Path part = part(1, 3).write(directory.resolve("m-00002-of-00003.gguf"));
    refused(
        () -> GgufFile.open(part),
        "is part 2 of 3",
        "m-00001-of-00003.gguf, m-00003-of-00003.gguf are missing");
    part(0, 3).write(directory.resolve("m-00001-of-00003.gguf"));
    refused(() -> GgufFile.open(part), "m-00003-of-00003.gguf is missing");
    part(2, 3).write(directory.resolve("m-00003-of-00003.gguf"));
    refused(() -> GgufFile.open(part), "expected the first: give m-00001-of-00003.gguf");
    Path renamed = part(1, 3).write(directory.resolve("renamed.gguf"));
    refused(() -> GgufFile.open(renamed), "renamed.gguf: is part 2 of 3", "model-00002-of-00003");
    Path absent = directory.resolve("n-00001-of-00002.gguf");
    refused(() -> GgufFile.open(absent), "n-00001-of-00002.gguf: no such file");
  }

  @Test
  void aSplitModelIsOneFromItsFirstPartOn() {
    Path first = twoParts(2, "a", "b");
    try (GgufFile file = GgufFile.open(first)) {
      assertEquals(List.of("a", "b"), List.copyOf(file.names()));
      assertEquals("first", file.metadata().getString("general.name"));
      assertArrayEquals(new float[] {1, 2}, values(file, "a", 0, 2));
      assertArrayEquals(new float[] {4}, values(file, "b", 1, 1));
    }
  }

  @Test
  void partsThatDoNotBelongTogetherAreRefused() throws IOException {
    Path first = twoParts(3, "a", "b");
    refused(() -> GgufFile.open(first), "have 2 tensors, expected 'split.tensors.count', 3");
    twoParts(2, "a", "a");
    refused(() -> GgufFile.open(first), "m-00002-of-00002.gguf: tensor 'a' is in another part too");
    Files.copy(
        first, directory.resolve("m-00002-of-00002.gguf"), StandardCopyOption.REPLACE_EXISTING);
    refused(() -> GgufFile.open(first), "says it is part 1 of 2, expected part 2 of 2");
  }

  /** A part without tensors. */
  private static GgufBytes part(int number, int count) {
    return numbered(header(0, 2), number, count);
  }

  private static GgufBytes numbered(GgufBytes bytes, int number, int count) {
    return bytes.key("split.count", 2).raw(count, 0).key("split.no", 2).raw(number, 0);
  }

  /** Two tensors of two numbers, {@code [1, 2]} and {@code [3, 4]}; the first part's path. */
  private Path twoParts(int tensors, String first, String second) {
    Path path = directory.resolve("m-00001-of-00002.gguf");
    numbered(header(1, 4), 0, 2)
        .key("general.name", "first")
        .key("split.tensors.count", GgufBytes.INT32)
        .u32(tensors)
        .tensor(first, 0, 0, 2)
        .pad(32)
        .f32(1)
        .f32(2)
        .write(path);
    numbered(header(1, 2), 1, 2)
        .tensor(second, 0, 0, 2)
        .pad(32)
        .f32(3)
        .f32(4)
        .write(directory.resolve("m-00002-of-00002.gguf"));
    return path;
  }

  private Path file() {
    return directory.resolve("a.gguf");
  }

  /** Random blocks whose 16-bit scales are finite: no byte has all exponent bits of a half set. */
  private Path random(GgmlType type) throws IOException {
    byte[] data = new byte[ROWS * COLUMNS / type.blockElements() * type.blockBytes()];
    new Random(11).nextBytes(data);
    for (int i = 0; i < data.length; i++) {
      data[i] &= (byte) 0xbb;
    }
    return header(1, 0)
        .tensor("w", type.number(), 0, COLUMNS, ROWS)
        .pad(32)
        .raw(data)
        .write(directory.resolve(type + ".gguf"));
  }

  private static float[] values(GgufFile file, String name, long first, int count) {
    float[] values = new float[count];
    file.dequantize(name, first, count, values, 0);
    return values;
  }

  private static void refused(Runnable action, String... inMessage) {
    InvalidInputException e = assertThrows(InvalidInputException.class, action::run);
    assertEquals(1, e.getMessage().lines().count(), e.getMessage());
    for (String part : inMessage) {
      assertTrue(e.getMessage().contains(part), "'" + part + "' in: " + e.getMessage());
    }
  }
}
