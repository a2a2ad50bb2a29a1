package ai.nibble.gguf;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.InvalidInputException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.api.io.TempDir;

class GgufWriterTest {
  @TempDir Path folder;

  private Path file() {
    return folder.resolve("model.gguf");
  }

  private static GgufTensorSpec spec(String name, GgmlType type, long... shape) {
    return new GgufTensorSpec(name, type, Arrays.stream(shape).boxed().toList());
  }

  private List<Path> left() throws IOException {
    try (Stream<Path> files = Files.list(folder)) {
      return files.toList();
    }
  }

  @Test
  void metadataOfEveryTypeReadsBack() {
    GgufHeader header =
        new GgufHeader()
            .put("text", "größer 😀")
            .put("count", 7)
            .put("number", 1.5f)
            .put("yes", true)
            .put("no", false)
            .putStrings("tokens", List.of("", "a b", "\n"))
            .putInts("types", new int[] {1, -2})
            .putFloats("scores", new float[] {-1, 0.25f})
            .put("count", 8);
    try (GgufWriter writer = GgufWriter.create(file(), header, List.of())) {
      writer.commit();
    }
    try (GgufFile read = GgufFile.open(file())) {
      GgufMetadata m = read.metadata();
      assertEquals(3, read.version());
      assertEquals(
          List.of("text", "count", "number", "yes", "no", "tokens", "types", "scores"),
          List.copyOf(m.keys()));
      assertEquals("größer 😀", m.getString("text"));
      assertEquals(8, m.getLong("count"));
      assertEquals(1.5f, m.getFloat("number"));
      assertTrue(m.getBoolean("yes") && !m.getBoolean("no"));
      assertEquals(List.of("", "a b", "\n"), m.getStrings("tokens"));
      assertArrayEquals(new long[] {1, -2}, m.getLongs("types"));
      assertArrayEquals(new float[] {-1, 0.25f}, m.getFloats("scores"));
    }
  }

  /** Large enough that a tensor takes several pieces, on several threads. */
  @Test
  void tensorsOfEveryTypeReadBackAsTheyAreEncoded() {
    int width = 512;
    int rows = 9_000;
    float[] values = BlockEncoderTest.gaussian(width * 40, 3);
    List<GgufTensorSpec> specs = new ArrayList<>();
    for (GgmlType type : GgmlType.values()) {
      if (type.isWritten()) {
        specs.add(spec(type.name(), type, type == GgmlType.F32 ? rows : 40, width));
      }
    }
    specs.add(spec("vector", GgmlType.F32, 3)); // no multiple of the alignment
    try (GgufWriter writer = GgufWriter.create(file(), new GgufHeader(), specs)) {
      for (GgufTensorSpec spec : specs) {
        writer.write(
            spec.name(),
            (row, into) ->
                System.arraycopy(values, (int) (row % 40) * into.length, into, 0, into.length));
      }
      writer.commit();
    }
    try (GgufFile read = GgufFile.open(file())) {
      assertEquals(specs.stream().map(GgufTensorSpec::name).toList(), List.copyOf(read.names()));
      for (GgufTensorSpec spec : specs) {
        GgufTensor tensor = read.tensor(spec.name());
        assertEquals(spec.shape(), tensor.shape());
        assertEquals(0, tensor.position() % 32);
        int count = (int) Math.min(tensor.elements(), values.length);
        float[] seen = new float[count];
        read.dequantize(spec.name(), tensor.elements() - count, count, seen, 0);
        float[] expected = Arrays.copyOf(values, count);
        assertArrayEquals(
            BlockEncoderTest.decode(spec.type(), BlockEncoderTest.encode(spec.type(), expected)),
            seen,
            spec.name());
      }
    }
  }

  @Test
  void aCopyIsCheckedAndExact() throws IOException {
    float[] values = BlockEncoderTest.gaussian(4 * 256, 1);
    List<GgufTensorSpec> specs = List.of(spec("w", GgmlType.Q6_K, 4, 256));
    Path from = folder.resolve("from.gguf");
    try (GgufWriter writer = GgufWriter.create(from, new GgufHeader(), specs)) {
      writer.write("w", (row, into) -> System.arraycopy(values, (int) row * 256, into, 0, 256));
      writer.commit();
    }
    try (GgufFile source = GgufFile.open(from);
        GgufWriter writer = GgufWriter.create(file(), new GgufHeader(), specs)) {
      writer.copy("w", source);
      assertThrows(IllegalStateException.class, () -> writer.copy("w", source));
      writer.commit();
    }
    assertArrayEquals(Files.readAllBytes(from), Files.readAllBytes(file()));
    List<GgufTensorSpec> other = List.of(spec("w", GgmlType.F32, 4, 256));
    try (GgufFile source = GgufFile.open(from);
        GgufWriter writer = GgufWriter.create(folder.resolve("x"), new GgufHeader(), other)) {
      assertThrows(IllegalArgumentException.class, () -> writer.copy("w", source));
    }
    byte[] damaged = Files.readAllBytes(from);
    int lastScale = damaged.length - 24 - 2; // 4 blocks of 210 bytes, padded by 24
    damaged[lastScale] = 0;
    damaged[lastScale + 1] = 0x7c;
    try (GgufFile source = GgufFile.open(Files.write(from, damaged));
        GgufWriter writer = GgufWriter.create(folder.resolve("x"), new GgufHeader(), specs)) {
      InvalidInputException e =
          assertThrows(InvalidInputException.class, () -> writer.copy("w", source));
      assertTrue(e.getMessage().contains("tensor 'w' holds"), e.getMessage());
    }
  }

  @Test
  void aFailureLeavesNothingBehindAndAnExistingFileAsItWas() throws IOException {
    Files.writeString(file(), "before");
    List<GgufTensorSpec> specs = List.of(spec("w", GgmlType.F32, 4, 4));
    try (GgufWriter writer = GgufWriter.create(file(), new GgufHeader(), specs)) {
      assertThrows(
          UncheckedIOException.class,
          () ->
              writer.write(
                  "w",
                  (row, into) -> {
                    throw new UncheckedIOException(new IOException("No space left on device"));
                  }));
      IllegalStateException e = assertThrows(IllegalStateException.class, writer::commit);
      assertTrue(e.getMessage().endsWith("tensor 'w' was not written"), e.getMessage());
      assertEquals(2, left().size());
    }
    assertEquals(List.of(file()), left());
    assertEquals("before", Files.readString(file()));
  }

  @Test
  void whatCannotBeStoredIsRefusedWithItsPlace() throws IOException {
    refusesValue(GgmlType.BF16, Float.NaN, "tensor 'w' holds NaN at [2, 5], expected finite");
    refusesValue(GgmlType.F32, Float.POSITIVE_INFINITY, "holds Infinity at [2, 5]");
    refusesValue(GgmlType.F16, 65_520, "beyond 65504, the largest of float16");
    refusesValue(GgmlType.Q8_0, -70_000, "which Q8_0 is built on: write BF16 or F32");
    assertEquals(List.of(), left());
  }

  private void refusesValue(GgmlType type, float value, String expected) {
    List<GgufTensorSpec> specs = List.of(spec("w", type, 4, 32));
    try (GgufWriter writer = GgufWriter.create(file(), new GgufHeader(), specs)) {
      InvalidInputException e =
          assertThrows(
              InvalidInputException.class,
              () -> writer.write("w", (row, into) -> into[5] = row == 2 ? value : 0));
      assertTrue(e.getMessage().contains(expected), e.getMessage());
    }
  }

  @Test
  void aDiskThatIsTooSmallIsNoticedBeforehand() throws IOException {
    List<GgufTensorSpec> specs = List.of(spec("w", GgmlType.F32, 1L << 40, 1 << 16));
    InvalidInputException e =
        assertThrows(
            InvalidInputException.class, () -> GgufWriter.create(file(), new GgufHeader(), specs));
    assertTrue(e.getMessage().contains(": needs 288230376151711"), e.getMessage());
    assertTrue(e.getMessage().contains("bytes, but its disk has"), e.getMessage());
    assertEquals(List.of(), left());
  }

  @Test
  void placesThatCannotBeWrittenAreRefused() {
    assertThrows(
        InvalidInputException.class, () -> GgufWriter.create(folder, new GgufHeader(), List.of()));
    InvalidInputException e =
        assertThrows(
            InvalidInputException.class,
            () -> GgufWriter.create(folder.resolve("no/file"), new GgufHeader(), List.of()));
    assertTrue(e.getMessage().contains("its directory does not exist"), e.getMessage());
  }

  @Test
  void specsThatNoFileCanHaveAreRefused() {
    refused(() -> spec("w", GgmlType.Q4_K, 4, 128), "rows have 128 elements");
    refused(() -> spec("", GgmlType.F32, 4), "the name has 0 bytes");
    refused(() -> spec("x".repeat(64), GgmlType.F32, 4), "the name has 64 bytes");
    refused(() -> spec("w", GgmlType.IQ4_NL, 32), "IQ4_NL is not written");
    refused(() -> spec("w", GgmlType.F32), "has 0 dimensions");
    refused(
        () ->
            GgufWriter.create(
                file(),
                new GgufHeader(),
                List.of(spec("w", GgmlType.F32, 4), spec("w", GgmlType.F32, 4))),
        "a tensor is given twice");
  }

  private static void refused(Executable call, String expected) {
    IllegalArgumentException e = assertThrows(IllegalArgumentException.class, call);
    assertTrue(e.getMessage().contains(expected), e.getMessage());
  }
}
