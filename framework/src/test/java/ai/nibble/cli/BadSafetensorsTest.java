package ai.nibble.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.TinyChat;
import ai.nibble.cli.Refusals.Reader;
import java.io.BufferedOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.io.RandomAccessFile;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Weights that are no safetensors file, or one that breaks the format, as commands see them. */
class BadSafetensorsTest {
  /** What the shell says of the processes it ran: user and system time. */
  private static final Pattern CHILDREN = Pattern.compile("\\n(\\d+)m([\\d.]+)s");

  /** Twice the largest header: what a process may have whose file says that it is full of them. */
  private static final long MOST_HEAP = 200_000_000;

  @TempDir Path temp;
  private Path base;
  private Path weights;
  private Refusals refusals;

  @BeforeEach
  void writeABase() throws IOException {
    base = TinyChat.write(temp.resolve("base"));
    weights = base.resolve("model.safetensors");
    refusals = new Refusals(temp);
  }

  private void refuses(byte[] file, String... parts) throws IOException {
    Files.write(weights, file);
    refusals.each(Reader.ALL, base, named(parts));
  }

  /** The file's name goes before what else is expected. */
  private String[] named(String... parts) {
    String[] all = Arrays.copyOf(parts, parts.length + 1);
    all[parts.length] = weights + ": ";
    return all;
  }

  private static byte[] file(String header, int body) {
    byte[] json = header.getBytes(StandardCharsets.UTF_8);
    ByteBuffer file = ByteBuffer.allocate(8 + json.length + body).order(ByteOrder.LITTLE_ENDIAN);
    return file.putLong(json.length).put(json).array();
  }

  private static String tensor(String name, String dtype, String shape, String offsets) {
    return "\"%s\":{\"dtype\":\"%s\",\"shape\":%s,\"data_offsets\":%s}"
        .formatted(name, dtype, shape, offsets);
  }

  @ParameterizedTest
  @CsvSource({
    "0, '(0 bytes, expected at least 8): it is truncated or damaged; download it again'",
    "1, '(1 bytes, expected at least 8): it is truncated or damaged; download it again'",
    "7, '(7 bytes, expected at least 8): it is truncated or damaged; download it again'",
    "8, '(has a header of 0 bytes): it is truncated or damaged; download it again'"
  })
  void aFileWithoutAHeaderIsRefused(int size, String problem) throws IOException {
    refuses(new byte[size], "not a safetensors file " + problem);
  }

  @ParameterizedTest
  @CsvSource({
    "9223372036854775807, 'declares a header of 9223372036854775807 bytes, expected at most 100000000'",
    "-9223372036854775808, 'a header of 9223372036854775808 bytes, expected at most 100000000'",
    "-1, 'a header of 18446744073709551615 bytes, expected at most 100000000'",
    "2147483648, 'declares a header of 2147483648 bytes, expected at most 100000000'",
    "2147483647, 'declares a header of 2147483647 bytes, expected at most 100000000'",
    "100000001, 'declares a header of 100000001 bytes, expected at most 100000000'",
    "100000000, 'declares a header of 100000000 bytes, but only 2 follow'",
    "3, 'declares a header of 3 bytes, but only 2 follow'",
    "1, 'the header does not start with'"
  })
  void aHeaderLengthThatCannotBeIsRefused(long length, String problem) throws IOException {
    byte[] bytes = file("{}", 0);
    ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN).putLong(0, length);
    refuses(bytes, "not a safetensors file (", problem);
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "[]|the header does not start with '{'",
        "' {}'|the header does not start with '{'",
        "{\"w\": }|the header is not valid JSON at line 1 column 7 (Unexpected character ('}'",
        "{}{}|the header goes on after its closing brace",
        "{\"w\": [1]}|tensor 'w' holds an array, expected an object",
        "{\"__metadata__\": {\"a\": 1}}|__metadata__ key 'a' holds an integer, expected a string",
        "{\"__metadata__\": {\"a\": null}}|__metadata__ key 'a' holds null, expected a string",
        "{\"__metadata__\": [\"a\"]}|__metadata__ holds an array, expected an object",
        "{\"__metadata__\": {\"a\": \"b\", \"a\": \"c\"}}|__metadata__ key 'a' appears twice",
        "{\"w\": {\"dtype\": \"U8\", \"dtype\": \"U8\"}}|tensor 'w' has the key 'dtype' twice",
        "{\"w\": {\"strides\": [1]}}|tensor 'w' has the key 'strides', expected only dtype, shape and",
        "{\"w\": {\"dtype\": \"U8\", \"shape\": [1]}}|tensor 'w' has no data_offsets",
        "{\"a\\u001b[2Jb\": 1}|tensor 'a\uFFFD[2Jb' holds an integer",
      })
  void aHeaderThatIsNoListOfTensorsIsRefused(String header, String problem) throws IOException {
    refuses(file(header, 0), problem);
  }

  @Test
  void aHeaderOfAnotherEncodingIsRefused() throws IOException {
    byte[] latin = "{\"é\": {}}".getBytes(StandardCharsets.ISO_8859_1);
    ByteBuffer bytes = ByteBuffer.allocate(8 + latin.length).order(ByteOrder.LITTLE_ENDIAN);
    refuses(bytes.putLong(latin.length).put(latin).array(), "the header is not valid UTF-8");
    refuses(
        file("{\"w\":{\"shape\":" + "[".repeat(200_000), 0), "shape of tensor 'w' holds an array");
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "U8|[1]|[-1,0]|1|data_offsets of tensor 'w' holds -1, expected integers from 0 to 2^63-1",
        "U8|[1]|[1,0]|1|tensor 'w': data_offsets [1, 0] run backwards",
        "U8|[1]|[0]|1|tensor 'w': data_offsets is [0], expected [begin, end]",
        "U8|[1]|[1,2]|2|tensor 'w' begins at byte 1 of the buffer, expected 0: there is a hole before it",
        "U8|[1]|[0,1]|0|tensor 'w' ends at byte 1 of a buffer of 0 bytes; the file is truncated or damaged",
        "U8|[2]|[0,2]|1|tensor 'w' ends at byte 2 of a buffer of 1 bytes; the file is truncated or damaged",
        "U8|[1]|[0,1]|2|the tensors end at byte 1 of the buffer, but 1 more bytes follow",
        "U8|[1]|[0,18446744073709551616]|1|data_offsets of tensor 'w' holds 18446744073709551616, expected",
        "F32|[2]|[0,4]|4|tensor 'w' F32[2] needs 8 bytes, its data_offsets [0, 4] hold 4",
        "U8|[4294967296,4294967296]|[0,0]|0|tensor 'w' U8[4294967296, 4294967296]: the product of the dimensions overflows 64 bits",
        "F64|[2305843009213693952]|[0,0]|0|the product of the dimensions overflows 64 bits",
        "U8|[-1]|[0,1]|1|shape of tensor 'w' holds -1, expected integers from 0",
        "U8|[1.5]|[0,1]|1|shape of tensor 'w' holds a fraction, expected an integer",
        "U8|[1e0]|[0,1]|1|shape of tensor 'w' holds a fraction, expected an integer",
        "U7|[1]|[0,1]|1|tensor 'w': dtype 'U7' is unknown, expected one of [BOOL,",
        "F4|[3]|[0,1]|1|tensor 'w' F4[3]: 3 elements of 4 bits do not fill whole bytes",
      })
  void placesAndShapesThatCannotBeAreRefused(
      String dtype, String shape, String offsets, int body, String problem) throws IOException {
    refuses(file("{" + tensor("w", dtype, shape, offsets) + "}", body), problem);
  }

  @Test
  void tensorsThatOverlapOrStandTwiceAreRefused() throws IOException {
    String a = tensor("a", "U8", "[2]", "[0,2]");
    refuses(
        file("{" + a + "," + tensor("b", "U8", "[2]", "[1,3]") + "}", 5),
        "tensor 'b' begins at byte 1 of the buffer, expected 2: it overlaps the one before it");
    refuses(
        file("{" + a + "," + tensor("b", "U8", "[2]", "[0,2]") + "}", 2),
        "tensor 'b' at [0, 2] overlaps another");
    refuses(
        file("{" + a + "," + tensor("b", "U8", "[1]", "[3,4]") + "}", 4),
        "tensor 'b' begins at byte 3 of the buffer, expected 2: there is a hole before it");
    refuses(file("{" + a + "," + a + "}", 2), "tensor 'a' appears twice in the header");
  }

  /** Of the base itself: a byte less, a byte more, an archive behind it. */
  @Test
  void aFileThatIsCutOrHasSomethingBehindItIsRefused() throws IOException {
    byte[] whole = Files.readAllBytes(weights);
    refuses(
        Arrays.copyOf(whole, whole.length - 1),
        "the file is truncated or damaged, download it again");
    refuses(Arrays.copyOf(whole, whole.length + 1), "but 1 more bytes follow", "download it again");
    byte[] zip = Arrays.copyOf(whole, whole.length + 22);
    zip[whole.length] = 'P';
    zip[whole.length + 1] = 'K';
    refuses(zip, "but 22 more bytes follow; the file is damaged or something was appended");
  }

  /** The order of the header is free: only bytes must lie side by side. */
  @Test
  void offsetsInAnyOrderAreTaken() throws IOException {
    ByteBuffer bytes = ByteBuffer.wrap(Files.readAllBytes(weights)).order(ByteOrder.LITTLE_ENDIAN);
    int length = (int) bytes.getLong(0);
    String header = new String(bytes.array(), 8, length, StandardCharsets.UTF_8);
    List<String> tensors = Arrays.asList(header.substring(1, length - 1).split("(?<=\\}),"));
    assertEquals(21, tensors.size());
    Collections.reverse(tensors);
    String reversed = "{" + String.join(",", tensors) + "}";
    assertEquals(length, reversed.length());
    String[] generate =
        refusals.reading(Reader.GENERATE, base, "--greedy", "--max-new-tokens", "8");
    assertEquals(0, refusals.run(generate), refusals.said());
    String before =
        refusals.said().lines().filter(l -> !l.contains("tokens/s")).toList().toString();
    bytes.put(8, reversed.getBytes(StandardCharsets.UTF_8));
    Files.write(weights, bytes.array());
    assertEquals(0, refusals.run(generate), refusals.said());
    assertEquals(
        before, refusals.said().lines().filter(l -> !l.contains("tokens/s")).toList().toString());
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n"
            + "|it looks like a Git LFS pointer; fetch the file itself (git lfs pull) or download it",
        "<!DOCTYPE html>\n<html><body>404</body></html>|it looks like a web page, often an error page",
        "\n\n<html><body>404</body></html>|it looks like a web page, often an error page",
        "PK\u0003\u0004aaaaaaaaaaa|it looks like a PyTorch pickle checkpoint; convert it to safetensors",
        "\u001f\u008baaaaaaaaaaaaaaa|it looks like a gzip archive; unpack it",
        "GGUF\u0003\u0000\u0000\u0000\u0000\u0000\u0000|it looks like a GGUF file; name it .gguf",
        "{\"weight_map\": {}}|it looks like JSON text; name the weights file, not its index"
      })
  void whatWasSavedUnderTheWrongNameIsRecognised(String textAndKind) throws IOException {
    int at = textAndKind.lastIndexOf('|');
    refuses(
        textAndKind.substring(0, at).getBytes(StandardCharsets.ISO_8859_1),
        "not a safetensors file (",
        textAndKind.substring(at + 1));
  }

  /** Writes a header that an entry fills again and again, with its number in the place of '#'. */
  private void manyTensors(String entry, int count, byte[] body) throws IOException {
    String first = entry.replace("#", "%07d".formatted(0));
    long length = 1 + (first.length() + 1L) * count;
    try (OutputStream out = new BufferedOutputStream(Files.newOutputStream(weights), 1 << 20)) {
      out.write(ByteBuffer.allocate(8).order(ByteOrder.LITTLE_ENDIAN).putLong(length).array());
      byte[] bytes = first.getBytes(StandardCharsets.UTF_8);
      int digits = entry.indexOf('#');
      out.write('{');
      for (int i = 0; i < count; i++) {
        for (int d = 0, n = i; d < 7; d++, n /= 10) {
          bytes[digits + 6 - d] = (byte) ('0' + n % 10);
        }
        out.write(bytes);
        out.write(i == count - 1 ? '}' : ',');
      }
      out.write(body);
    }
  }

  @Test
  void tenMillionTensorsOnOneSliceAreRefusedByTheLengthOfTheirHeader() throws IOException {
    String entry = tensor("#", "U8", "[1]", "[0,1]");
    long length = 10_000_000L * (entry.length() + 7);
    try (RandomAccessFile sparse = new RandomAccessFile(weights.toFile(), "rw")) {
      sparse.write(ByteBuffer.allocate(8).order(ByteOrder.LITTLE_ENDIAN).putLong(length).array());
      sparse.write(("{" + entry).getBytes(StandardCharsets.UTF_8));
      sparse.setLength(length + 9);
    }
    refusals.each(
        Reader.ALL,
        base,
        named("declares a header of " + length + " bytes, expected at most 100000000"));
  }

  @Test
  void asManyTensorsOnOneSliceAsFitAreRefusedAtTheSecond() throws IOException {
    manyTensors(tensor("#", "U8", "[1]", "[0,1]"), 200_000, new byte[1]);
    refusals.each(Reader.ALL, base, named("tensor '0000001' at [0, 1] overlaps another"));
  }

  /**
   * Tensors without bytes overlap nothing. A process that may have twice the file's size and no
   * more, as each that is kept takes memory.
   */
  @Test
  void millionsOfEmptyTensorsTakeBoundedTimeAndMemory() throws Exception {
    manyTensors(tensor("#", "U8", "[0]", "[0,0]"), 1_700_000, new byte[0]);
    assertTrue(Files.size(weights) > 90_000_000 && Files.size(weights) < 100_000_000);
    assertRefusesWithin(
        2 * Files.size(weights),
        weights
            + ": the header lists more than 400,000 tensors, expected those of a model; the file is"
            + " damaged, download it again");
    manyTensors(tensor("#", "U8", "[0,1,1,1,1,1,1,1,1,1,1,1]", "[0,0]"), 300_000, new byte[0]);
    assertRefusesWithin(
        MOST_HEAP, weights + ": the shapes have more than 3,200,000 dimensions together");
    StringBuilder metadata = new StringBuilder("{\"__metadata__\":{\"a\":\"\"");
    for (int i = 0; i < 100_000; i++) {
      metadata.append(",\"").append(i).append("\":\"\"");
    }
    Files.write(weights, file(metadata.append("}}").toString(), 0));
    assertRefusesWithin(
        MOST_HEAP, weights + ": __metadata__ has more than 10,000 keys, expected a few");
  }

  /** An index of another model, too, is wrong of every tensor. */
  @Test
  void anIndexOfMillionsOfTensorsTakesBoundedTimeAndMemory() throws Exception {
    Files.move(weights, base.resolve("a.safetensors"));
    Path index = base.resolve("model.safetensors.index.json");
    for (int count : new int[] {900_000, 1_100_000}) {
      try (OutputStream out = new BufferedOutputStream(Files.newOutputStream(index), 1 << 20)) {
        out.write("{\"weight_map\":{\"w\":\"a.safetensors\"".getBytes(StandardCharsets.UTF_8));
        for (int i = 0; i < count; i++) {
          out.write((",\"" + i + "\":\"a.safetensors\"").getBytes(StandardCharsets.UTF_8));
        }
        out.write("}}".getBytes(StandardCharsets.UTF_8));
      }
      assertTrue(Files.size(index) < 100_000_000, Files.size(index) + " bytes");
      assertRefusesWithin(
          MOST_HEAP,
          count == 900_000
              ? index + ": says tensor 'w' is in a.safetensors, which does not hold it"
              : index
                  + ": weight_map lists more than 1,000,000 tensors, expected those of a model");
    }
  }

  /** By a process of its own, whose heap is no more than this. */
  private void assertRefusesWithin(long heapBytes, String line) throws Exception {
    Path java = Path.of(System.getProperty("java.home"), "bin", "java");
    Path err = temp.resolve("err");
    Path times = temp.resolve("times");
    Process process =
        new ProcessBuilder(
                "sh",
                "-c",
                "\"$@\"; code=$?; times >'" + times + "'; exit $code",
                "sh",
                java.toString(),
                "-Xmx" + (heapBytes >> 20) + "m",
                "-XX:+UseSerialGC",
                "-XX:TieredStopAtLevel=1",
                "-cp",
                System.getProperty("java.class.path"),
                Nibble.class.getName(),
                "inspect",
                base.toString())
            .redirectOutput(temp.resolve("out").toFile())
            .redirectError(err.toFile())
            .start();
    assertTrue(process.waitFor(120, TimeUnit.SECONDS));
    String said = Files.readString(err);
    assertEquals(2, process.exitValue(), said);
    assertTrue(said.startsWith("error: " + line), said);
    assertTrue(said.lines().count() <= 8 && !said.contains("\tat "), said);
    // of processor time, which the second line has: this machine may be at other things
    Matcher user = CHILDREN.matcher(Files.readString(times));
    assertTrue(user.find(), Files.readString(times));
    double seconds = 60 * Integer.parseInt(user.group(1)) + Double.parseDouble(user.group(2));
    assertTrue(seconds > 0 && seconds <= 5, seconds + " s");
  }
}
