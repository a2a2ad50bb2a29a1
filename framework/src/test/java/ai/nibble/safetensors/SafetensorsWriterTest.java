package ai.nibble.safetensors;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import ai.nibble.InvalidInputException;
import ai.nibble.tensor.DType;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class SafetensorsWriterTest {
  @TempDir Path dir;

  private List<String> listing() throws IOException {
    try (Stream<Path> files = Files.list(dir)) {
      return files.map(p -> p.getFileName().toString()).sorted().toList();
    }
  }

  @Test
  void everythingWrittenIsReadBack() throws IOException {
    Random random = new Random(11);
    for (int round = 0; round < 30; round++) {
      List<TensorSpec> specs = new ArrayList<>();
      Map<String, byte[]> bodies = new LinkedHashMap<>();
      int n = random.nextInt(12);
      for (int i = 0; i < n; i++) {
        SafetensorsType[] types = SafetensorsType.values();
        List<Long> shape =
            random.longs(random.nextInt(4), 0, 9).boxed().collect(Collectors.toList());
        shape.add(4L); // whole bytes for the packed types too
        TensorSpec spec = new TensorSpec("t\"\n𐐷" + i, types[random.nextInt(types.length)], shape);
        specs.add(spec);
        byte[] body = new byte[(int) spec.bytes()];
        random.nextBytes(body);
        bodies.put(spec.name(), body);
      }
      Path path = dir.resolve("m.safetensors");
      Map<String, String> metadata = round % 2 == 0 ? Map.of() : Map.of("k", "\u0001é", "l", "");
      try (SafetensorsWriter writer = SafetensorsWriter.create(path, specs, metadata)) {
        List<String> names = new ArrayList<>(bodies.keySet());
        Collections.shuffle(names, random);
        for (String name : names) {
          ByteBuffer body = ByteBuffer.wrap(bodies.get(name));
          while (body.hasRemaining()) {
            int piece = 1 + random.nextInt(body.remaining());
            writer.write(name, body.slice(body.position(), piece));
            body.position(body.position() + piece);
          }
        }
        writer.commit();
      }
      try (SafetensorsFile file = SafetensorsFile.open(path)) {
        assertEquals(bodies.keySet(), file.names());
        assertEquals(metadata, file.metadata());
        for (TensorSpec spec : specs) {
          assertEquals(spec.shape(), file.tensor(spec.name()).shape());
          assertEquals(spec.type(), file.tensor(spec.name()).type());
          byte[] body = new byte[(int) spec.bytes()];
          file.read(spec.name(), 0, ByteBuffer.wrap(body));
          assertArrayEquals(bodies.get(spec.name()), body);
          file.bytes(spec.name(), 0, body.length).get(body);
          assertArrayEquals(bodies.get(spec.name()), body);
        }
      }
      assertEquals(List.of("m.safetensors"), listing());
    }
  }

  /** The text is what the safetensors package 0.8.0 wrote for the same tensors. */
  @Test
  void theBytesAreTheReferences() throws IOException {
    Path path = dir.resolve("m.safetensors");
    List<TensorSpec> specs =
        List.of(
            TensorSpec.of("b", DType.FLOAT16, 1),
            TensorSpec.of("a", DType.FLOAT16, 0),
            TensorSpec.of("é", DType.UINT8),
            TensorSpec.of("z", DType.INT64, 1, 1),
            TensorSpec.of("y", DType.BFLOAT16, 2));
    try (SafetensorsWriter writer = SafetensorsWriter.create(path, specs)) {
      byte value = 1;
      for (TensorSpec spec : specs) {
        byte[] body = new byte[(int) spec.bytes()];
        Arrays.fill(body, value++);
        writer.write(spec.name(), ByteBuffer.wrap(body));
      }
      writer.commit();
    }
    byte[] seen = Files.readAllBytes(path);
    int n = (int) ByteBuffer.wrap(seen).order(ByteOrder.LITTLE_ENDIAN).getLong();
    assertEquals(REFERENCE_HEADER, new String(seen, 8, n, StandardCharsets.UTF_8));
    assertArrayEquals(
        new byte[] {4, 4, 4, 4, 4, 4, 4, 4, 5, 5, 5, 5, 1, 1, 3},
        Arrays.copyOfRange(seen, 8 + n, seen.length));
  }

  private static final String REFERENCE_HEADER =
      "{\"__metadata__\":{\"format\":\"pt\"},"
          + "\"z\":{\"dtype\":\"I64\",\"shape\":[1,1],\"data_offsets\":[0,8]},"
          + "\"y\":{\"dtype\":\"BF16\",\"shape\":[2],\"data_offsets\":[8,12]},"
          + "\"a\":{\"dtype\":\"F16\",\"shape\":[0],\"data_offsets\":[12,12]},"
          + "\"b\":{\"dtype\":\"F16\",\"shape\":[1],\"data_offsets\":[12,14]},"
          + "\"é\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[14,15]}}      ";

  @Test
  void anUnfinishedFileNeverAppears() throws IOException {
    Path path = dir.resolve("m.safetensors");
    Files.writeString(path, "old");
    List<TensorSpec> specs = List.of(TensorSpec.of("w", DType.FLOAT32, 3));
    try (SafetensorsWriter writer = SafetensorsWriter.create(path, specs)) {
      writer.write("w", ByteBuffer.allocate(8));
      String message = assertThrows(IllegalStateException.class, writer::commit).getMessage();
      assertTrue(message.contains("tensor 'w' got 8 of its 12 bytes"), message);
      assertEquals(2, listing().size());
    }
    assertEquals("old", Files.readString(path));
    assertEquals(List.of("m.safetensors"), listing());
  }

  @Test
  void bytesChangedOnDiskBeforeTheCommitAreNoticed() throws IOException {
    Path path = dir.resolve("m.safetensors");
    Files.writeString(path, "old");
    List<TensorSpec> specs = List.of(TensorSpec.of("w", DType.FLOAT32, 3));
    try (SafetensorsWriter writer = SafetensorsWriter.create(path, specs)) {
      writer.write("w", ByteBuffer.allocateDirect(12));
      Path temporary = dir.resolve(listing().get(0));
      byte[] bytes = Files.readAllBytes(temporary);
      bytes[bytes.length - 1] ^= 1;
      Files.write(temporary, bytes);
      String message = assertThrows(UncheckedIOException.class, writer::commit).getMessage();
      assertTrue(message.contains("tensor 'w' reads back with other bytes"), message);
    }
    assertEquals("old", Files.readString(path));
    assertEquals(List.of("m.safetensors"), listing());
  }

  @Test
  void aReaderKeepsTheFileThatIsReplaced() throws IOException {
    Path path = dir.resolve("m.safetensors");
    List<TensorSpec> specs = List.of(TensorSpec.of("w", DType.UINT8, 4));
    for (byte value = 1; value <= 2; value++) {
      try (SafetensorsFile before = value == 2 ? SafetensorsFile.open(path) : null;
          SafetensorsWriter writer = SafetensorsWriter.create(path, specs)) {
        ByteBuffer window = before == null ? null : before.bytes("w", 0, 4);
        writer.write("w", ByteBuffer.wrap(new byte[] {value, value, value, value}));
        writer.commit();
        assertEquals(0x01010101, window == null ? 0x01010101 : window.getInt(0));
      }
    }
    try (SafetensorsFile file = SafetensorsFile.open(path)) {
      assertEquals(2, file.bytes("w", 3, 1).get());
    }
  }

  @Test
  void mistakesAreNamed() throws IOException {
    Path path = dir.resolve("m.safetensors");
    TensorSpec w = TensorSpec.of("w", DType.FLOAT32, 3);
    assertThrows(
        IllegalArgumentException.class, () -> SafetensorsWriter.create(path, List.of(w, w)));
    assertThrows(
        IllegalArgumentException.class, () -> TensorSpec.of("__metadata__", DType.UINT8, 1));
    assertThrows(IllegalArgumentException.class, () -> TensorSpec.of("w", DType.UINT8, -1));
    assertThrows(
        IllegalArgumentException.class,
        () -> TensorSpec.of("w", DType.UINT8, Long.MAX_VALUE, Long.MAX_VALUE));
    assertThrows(InvalidInputException.class, () -> SafetensorsWriter.create(dir, List.of(w)));
    assertThrows(
        InvalidInputException.class,
        () -> SafetensorsWriter.create(dir.resolve("no/m.safetensors"), List.of(w)));
    try (SafetensorsWriter writer = SafetensorsWriter.create(path, List.of(w))) {
      assertThrows(IllegalArgumentException.class, () -> writer.write("v", ByteBuffer.allocate(1)));
      assertThrows(
          IllegalArgumentException.class, () -> writer.write("w", ByteBuffer.allocate(13)));
    }
    assertEquals(List.of(), listing());
  }

  @Test
  void aDirectoryThatCannotBeWrittenIsReported() {
    Path readOnly = Path.of("/proc/self/m.safetensors");
    assumeTrue(Files.isDirectory(readOnly.getParent()));
    TensorSpec w = TensorSpec.of("w", DType.FLOAT32, 3);
    String message =
        assertThrows(
                UncheckedIOException.class, () -> SafetensorsWriter.create(readOnly, List.of(w)))
            .getMessage();
    assertTrue(message.startsWith(readOnly + ": cannot be written: "), message);
  }
}
