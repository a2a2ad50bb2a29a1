package ai.nibble.safetensors;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTimeoutPreemptively;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.InvalidInputException;
import ai.nibble.tensor.DType;
import java.io.BufferedOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class SafetensorsFileTest {
  @TempDir Path dir;

  private Path raw(byte[] bytes) throws IOException {
    Path path = dir.resolve("model.safetensors");
    Files.write(path, bytes);
    return path;
  }

  static byte[] bytes(byte[] header, int body) {
    ByteBuffer file = ByteBuffer.allocate(8 + header.length + body).order(ByteOrder.LITTLE_ENDIAN);
    return file.putLong(header.length).put(header).array();
  }

  private Path file(String header, int body) throws IOException {
    return raw(bytes(header.getBytes(StandardCharsets.UTF_8), body));
  }

  private static String refusal(Path path) {
    String message =
        assertThrows(InvalidInputException.class, () -> SafetensorsFile.open(path)).getMessage();
    assertTrue(message.startsWith(path + ": "), message);
    assertEquals(1, message.lines().count(), message);
    return message;
  }

  private void refuses(String header, int body, String... parts) throws IOException {
    String message = refusal(file(header, body));
    for (String part : parts) {
      assertTrue(message.contains(part), () -> message + "\nlacks: " + part);
    }
  }

  private static String entry(String name, String dtype, String shape, String offsets) {
    return "\"%s\":{\"dtype\":\"%s\",\"shape\":%s,\"data_offsets\":%s}"
        .formatted(name, dtype, shape, offsets);
  }

  private static String one(String dtype, String shape, String offsets) {
    return "{" + entry("w", dtype, shape, offsets) + "}";
  }

  @Test
  void aWellFormedFileIsRead() throws IOException {
    String header =
        "{\"__metadata__\":{\"format\":\"pt\",\"ä\":\"\"},"
            + entry("late", "U8", "[3]", "[8,11]")
            + ","
            + entry("early", "F32", "[2,1]", "[0,8]")
            + ","
            + entry("scalar", "I8", "[]", "[11,12]")
            + ","
            + entry("empty", "BF16", "[4,0]", "[12,12]")
            + ","
            + entry("f4", "F4", "[2]", "[12,13]")
            + "}   ";
    try (SafetensorsFile file = SafetensorsFile.open(file(header, 13))) {
      assertEquals(List.of("early", "late", "scalar", "empty", "f4"), List.copyOf(file.names()));
      assertEquals(Map.of("format", "pt", "ä", ""), file.metadata());
      SafetensorsTensor early = file.tensor("early");
      assertEquals(List.of(2L, 1L), early.shape());
      assertEquals(Optional.of(DType.FLOAT32), early.dtype());
      assertEquals(Optional.empty(), file.tensor("f4").dtype());
      assertEquals(1, file.tensor("scalar").elements());
      assertEquals(0, file.tensor("empty").elements());
      assertEquals(0, file.bytes("empty", 0, 0).remaining());
      assertTrue(
          assertThrows(InvalidInputException.class, () -> file.tensor("x"))
              .getMessage()
              .contains("no tensor 'x'"));
    }
  }

  @Test
  void aFileWithoutTensorsIsValid() throws IOException {
    try (SafetensorsFile file = SafetensorsFile.open(file("{}", 0))) {
      assertTrue(file.names().isEmpty());
    }
  }

  @ParameterizedTest
  @CsvSource({"0", "1", "7"})
  void aFileShorterThanTheLengthIsRefused(int size) throws IOException {
    assertTrue(refusal(raw(new byte[size])).contains(size + " bytes, expected at least 8"));
  }

  @ParameterizedTest
  @CsvSource({
    "9223372036854775807, at most 100000000",
    "-9223372036854775808, header of 9223372036854775808 bytes",
    "-1, header of 18446744073709551615 bytes",
    "2147483648, at most 100000000",
    "100000001, at most 100000000",
    "100000000, but only 2 follow",
    "3, but only 2 follow",
    "1, does not start",
    "0, has a header of 0 bytes"
  })
  void aHeaderLengthThatCannotBeIsRefusedWithoutAllocatingIt(long length, String part)
      throws IOException {
    ByteBuffer file = ByteBuffer.allocate(10).order(ByteOrder.LITTLE_ENDIAN);
    file.putLong(length).put("{}".getBytes(StandardCharsets.UTF_8));
    String message = refusal(raw(file.array()));
    assertTrue(message.contains(part), message);
  }

  @Test
  void whatIsNoJsonObjectIsRefused() throws IOException {
    refuses("[]", 0, "does not start with '{'");
    refuses(" {}", 0, "does not start with '{'");
    refuses("{} x", 0, "not valid JSON");
    refuses("{}{}", 0, "goes on after its closing brace");
    refuses("{", 0, "does not start");
    refuses("{\"w\"", 0, "not valid JSON");
    refuses("{\"" + "w".repeat(60_000) + "\":1}", 0, "not valid JSON");
    refuses("{\"w\":1}", 0, "tensor 'w' holds an integer, expected an object");
    refuses("{\"w\":{}}", 0, "tensor 'w' has no dtype");
    byte[] latin = one("U8", "[1]", "[0,1]").replace("w", "é").getBytes("ISO-8859-1");
    assertTrue(refusal(raw(bytes(latin, 1))).contains("not valid UTF-8"));
    byte[] utf16 = one("U8", "[1]", "[0,1]").getBytes("UTF-16LE");
    assertTrue(refusal(raw(bytes(utf16, 1))).contains("not valid JSON"));
    refuses("{\"\\ud800\":1}", 0, "unpaired surrogate");
    refuses("{\"a\\nb\":1}", 0, "tensor 'a�b'");
  }

  @Test
  void deepNestingIsRefusedWithoutRecursion() throws IOException {
    refuses("{\"w\":{\"shape\":" + "[".repeat(200_000), 0, "shape of tensor 'w' holds an array");
    refuses("{\"__metadata__\":" + "{\"a\":".repeat(200_000), 0, "__metadata__ key 'a'");
  }

  @Test
  void metadataHoldsStringsOnly() throws IOException {
    refuses("{\"__metadata__\":{\"a\":1}}", 0, "__metadata__ key 'a' holds an integer");
    refuses("{\"__metadata__\":null}", 0, "__metadata__ holds null");
    refuses("{\"__metadata__\":{\"a\":\"b\",\"a\":\"c\"}}", 0, "key 'a' appears twice");
    refuses("{\"__metadata__\":{},\"__metadata__\":{}}", 0, "'__metadata__' appears twice");
  }

  @Test
  void offsetsMustTileTheBuffer() throws IOException {
    refuses(one("U8", "[1]", "[-1,0]"), 1, "data_offsets of tensor 'w' holds -1");
    refuses(one("U8", "[1]", "[1,0]"), 1, "[1, 0] run backwards");
    refuses(one("U8", "[1]", "[0]"), 1, "expected [begin, end]");
    refuses(one("U8", "[1]", "[0,1,2]"), 1, "more than 2 entries");
    refuses(one("U8", "[1]", "[0.0,1]"), 1, "holds a fraction");
    refuses(one("U8", "[1]", "[0,18446744073709551616]"), 1, "18446744073709551616");
    refuses(one("U8", "[1]", "[0,1]"), 0, "truncated");
    refuses(one("U8", "[1]", "[0,1]"), 2, "1 more bytes follow");
    refuses(one("U8", "[1]", "[1,2]"), 2, "expected 0: there is a hole before it");
    refuses(
        "{" + entry("a", "U8", "[2]", "[0,2]") + "," + entry("b", "U8", "[2]", "[1,3]") + "}",
        5,
        "tensor 'b' begins at byte 1 of the buffer, expected 2: it overlaps");
    refuses(
        "{" + entry("a", "U8", "[2]", "[0,2]") + "," + entry("b", "U8", "[2]", "[0,2]") + "}",
        2,
        "tensor 'b'",
        "overlaps");
  }

  @Test
  void shapesMustFillTheirBytes() throws IOException {
    refuses(one("F32", "[2]", "[0,4]"), 4, "tensor 'w' F32[2] needs 8 bytes");
    refuses(one("U8", "[4294967296,4294967296]", "[0,0]"), 0, "overflows 64 bits");
    refuses(one("F64", "[2305843009213693952]", "[0,0]"), 0, "overflows 64 bits");
    refuses(one("U8", "[4294967296,2147483648]", "[0,0]"), 0, "overflows");
    refuses(one("U8", "[-1]", "[0,1]"), 1, "shape of tensor 'w' holds -1");
    refuses(one("U8", "[1.5]", "[0,1]"), 1, "holds a fraction");
    refuses(one("U8", "[true]", "[0,1]"), 1, "holds a boolean");
    refuses(one("U7", "[1]", "[0,1]"), 1, "dtype 'U7' is unknown, expected one of [BOOL,");
    refuses(one("F4", "[3]", "[0,1]"), 1, "3 elements of 4 bits do not fill whole bytes");
    refuses(one("F6_E2M3", "[2]", "[0,2]"), 2, "2 elements of 6 bits");
    refuses(one("U8", "[" + "1,".repeat(64) + "1]", "[0,1]"), 1, "more than 64 entries");
  }

  @Test
  void duplicateKeysAreRefused() throws IOException {
    String entry = entry("a", "U8", "[1]", "[0,1]");
    refuses("{" + entry + "," + entry + "}", 1, "tensor 'a' appears twice");
    refuses(
        "{\"a\":{\"dtype\":\"U8\",\"dtype\":\"U8\"}}", 0, "tensor 'a' has the key 'dtype' twice");
    refuses("{\"a\":{\"strides\":[1]}}", 0, "the key 'strides'");
  }

  @Test
  void whatWasSavedUnderTheWrongNameIsRecognised() throws IOException {
    String pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n";
    assertTrue(refusal(raw(pointer.getBytes())).contains("looks like a Git LFS pointer"));
    String page = "<!DOCTYPE html>\n<html><body>404</body></html>";
    assertTrue(refusal(raw(page.getBytes())).contains("looks like a web page"));
    assertTrue(refusal(raw("PK\3\4aaaaaaaaa".getBytes())).contains("pickle"));
    assertTrue(refusal(raw("GGUF\3\0\0\0\0\0\0".getBytes())).contains("GGUF"));
    assertTrue(refusal(raw("{\"a\": 1, \"b\": 2}".getBytes())).contains("JSON"));
    assertTrue(refusal(dir.resolve("absent")).contains("no such file"));
    assertTrue(refusal(dir).contains("not a regular file"));
  }

  @Test
  void aMillionTensorsOnOneSliceAreRefusedAtTheSecond() throws IOException {
    Path path = dir.resolve("attack.safetensors");
    byte[] entry = entry("0000000", "U8", "[1]", "[0,1]").getBytes();
    int n = 1_500_000;
    long header = 1 + (entry.length + 1L) * n;
    assertTrue(header <= SafetensorsFile.MAX_HEADER_BYTES);
    try (OutputStream out = new BufferedOutputStream(Files.newOutputStream(path))) {
      ByteBuffer length = ByteBuffer.allocate(8).order(ByteOrder.LITTLE_ENDIAN);
      out.write(length.putLong(header).array());
      out.write('{');
      for (int i = 0; i < n; i++) {
        byte[] number = "%07d".formatted(i).getBytes();
        System.arraycopy(number, 0, entry, 1, 7);
        out.write(entry);
        out.write(i == n - 1 ? '}' : ',');
      }
      out.write(0);
    }
    String message =
        assertTimeoutPreemptively(Duration.ofSeconds(2), () -> refusal(path)); // reads 64 KiB of it
    assertTrue(message.contains("tensor '0000001'"), message);
  }

  @Test
  void anyFlippedByteIsRefusedOrHarmless() throws IOException {
    byte[] good =
        bytes(
            ("{"
                    + entry("a", "F16", "[2,3]", "[0,12]")
                    + ","
                    + entry("b", "U8", "[]", "[12,13]")
                    + "}")
                .getBytes(),
            13);
    Random random = new Random(7);
    int refused = 0;
    for (int i = 0; i < 3000; i++) {
      byte[] bad = good.clone();
      bad[random.nextInt(good.length)] ^= (byte) (1 << random.nextInt(8));
      if (random.nextInt(4) == 0) {
        bad = Arrays.copyOf(bad, random.nextInt(good.length));
      }
      Path path = raw(bad);
      try (SafetensorsFile file = SafetensorsFile.open(path)) {
        for (String name : file.names()) {
          file.read(name, 0, ByteBuffer.allocate((int) file.tensor(name).bytes()));
        }
      } catch (InvalidInputException e) {
        refused++;
      }
    }
    assertTrue(refused > 2000, "refused " + refused);
  }

  @Test
  void bytesBeyondTwoGibibytesAreReached() throws IOException {
    long elements = (5L << 30) / 2 + 7;
    Path path = dir.resolve("large.safetensors");
    byte[] header = one("BF16", "[" + elements + "]", "[0," + 2 * elements + "]").getBytes();
    try (FileChannel channel =
        FileChannel.open(path, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE)) {
      channel.write(ByteBuffer.wrap(bytes(header, 0)));
      long end = 8 + header.length + 2 * elements; // a sparse file: only these bytes take space
      channel.write(ByteBuffer.wrap(new byte[] {(byte) 0x80, 0x3f}), end - 2);
      long across = 8 + header.length + (2L << 30); // bytes 2 GiB and on
      channel.write(ByteBuffer.wrap(new byte[] {0, 0x40, (byte) 0x40, 0x40}), across);
    }
    try (SafetensorsFile file = SafetensorsFile.open(path)) {
      float[] out = new float[3];
      file.readFloats("w", elements - 2, out, 1, 2);
      assertArrayEquals(new float[] {0, 0, 1}, out);
      file.readFloats("w", 1L << 30, out, 0, 3);
      assertArrayEquals(new float[] {2, 3, 0}, out);
      ByteBuffer window = file.bytes("w", (2L << 30) - 4, SafetensorsFile.MAX_WINDOW);
      assertEquals(0x40404000L << 32, window.getLong(0));
      assertTrue(window.isReadOnly());
      assertEquals(0x3f80, file.bytes("w", 2 * elements - 2, 2).getShort());
      assertThrows(IndexOutOfBoundsException.class, () -> file.bytes("w", 2 * elements - 1, 2));
      assertThrows(IndexOutOfBoundsException.class, () -> file.bytes("w", -1, 2));
      assertThrows(
          IndexOutOfBoundsException.class, () -> file.readFloats("w", elements, out, 0, 1));
    }
  }

  @Test
  void halvesAreExact() throws IOException {
    byte[] header =
        ("{"
                + entry("h", "F16", "[65536]", "[0,131072]")
                + ","
                + entry("b", "BF16", "[65536]", "[131072,262144]")
                + "}")
            .getBytes();
    byte[] all = bytes(header, 262144);
    ByteBuffer body =
        ByteBuffer.wrap(all).order(ByteOrder.LITTLE_ENDIAN).position(8 + header.length);
    for (int i = 0; i < 131072; i++) {
      body.putShort((short) i);
    }
    try (SafetensorsFile file = SafetensorsFile.open(raw(all))) {
      float[] half = new float[65536];
      float[] brain = new float[65536];
      file.readFloats("h", 0, half, 0, 65536);
      // odd pieces, so that the four-at-a-time loop starts anywhere
      for (int at = 0, n = 1; at < 65536; at += n, n = Math.min(n * 3, 65536 - at)) {
        file.readFloats("b", at, brain, at, n);
      }
      for (int i = 0; i < 65536; i++) {
        assertEquals(i << 16, Float.floatToRawIntBits(brain[i]));
        // binary16 by its definition: (-1)^s 2^(e-15) (1 + m/1024), or 2^-14 m/1024 when e = 0
        int e = i >> 10 & 31;
        int m = i & 1023;
        double magnitude =
            e == 31
                ? m == 0 ? Double.POSITIVE_INFINITY : Double.NaN
                : e == 0 ? Math.scalb(m, -24) : Math.scalb(1024 + m, e - 25);
        assertEquals((float) (i < 32768 ? magnitude : -magnitude), half[i], "half " + i);
      }
      assertEquals(0x80000000, Float.floatToRawIntBits(half[0x8000]));
      assertEquals(OptionalLong.of(0x7c00), file.firstNonFinite("h"));
      assertEquals(OptionalLong.of(0x7f80), file.firstNonFinite("b"));
    }
  }

  @Test
  void doublesAreRoundedAndIntegersRefused() throws IOException {
    byte[] header =
        ("{" + entry("d", "F64", "[1]", "[0,8]") + "," + entry("i", "I32", "[1]", "[8,12]") + "}")
            .getBytes();
    byte[] all = bytes(header, 12);
    ByteBuffer.wrap(all).order(ByteOrder.LITTLE_ENDIAN).putDouble(8 + header.length, Math.PI);
    try (SafetensorsFile file = SafetensorsFile.open(raw(all))) {
      float[] out = new float[1];
      file.readFloats("d", 0, out, 0, 1);
      assertEquals((float) Math.PI, out[0]);
      assertEquals(OptionalLong.empty(), file.firstNonFinite("d"));
      String message =
          assertThrows(InvalidInputException.class, () -> file.readFloats("i", 0, out, 0, 1))
              .getMessage();
      assertTrue(message.contains("tensor 'i' has dtype I32"), message);
    }
  }

  @Test
  void aFileTruncatedInUseRaisesAnException() throws IOException {
    Path path = file(one("F32", "[100000]", "[0,400000]"), 400_000);
    try (SafetensorsFile file = SafetensorsFile.open(path)) {
      try (FileChannel channel = FileChannel.open(path, StandardOpenOption.WRITE)) {
        channel.truncate(200_000);
      }
      String message =
          assertThrows(
                  InvalidInputException.class,
                  () -> file.readFloats("w", 0, new float[100_000], 0, 100_000))
              .getMessage();
      assertTrue(message.contains("tensor 'w'") && message.contains("truncated while in use"));
    }
  }
}
