package ai.nibble.gguf;

import static ai.nibble.gguf.GgufBytes.ARRAY;
import static ai.nibble.gguf.GgufBytes.BOOL;
import static ai.nibble.gguf.GgufBytes.FLOAT32;
import static ai.nibble.gguf.GgufBytes.INT32;
import static ai.nibble.gguf.GgufBytes.STRING;
import static ai.nibble.gguf.GgufBytes.UINT32;
import static ai.nibble.gguf.GgufBytes.UINT64;
import static ai.nibble.gguf.GgufBytes.UINT8;
import static ai.nibble.gguf.GgufBytes.header;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTimeoutPreemptively;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.InvalidInputException;
import com.sun.management.ThreadMXBean;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

public class MalformedGgufTest {
  private static final long HUGE = 1L << 62;
  private static final String NAME64 = "n".repeat(64);

  @TempDir Path directory;

  private static Arguments bad(String what, GgufBytes bytes, String... inMessage) {
    return Arguments.of(what, bytes, inMessage);
  }

  public static Stream<Arguments> headers() {
    GgufBytes none = new GgufBytes();
    return Stream.of(
        bad("empty file", none, "header", "empty"),
        bad("3 bytes", new GgufBytes().text("GGU"), "starts with 'GGU'", "'GGUF'"),
        bad("magic only", new GgufBytes().text("GGUF"), "4 bytes", "at least 24"),
        bad("foreign magic", new GgufBytes().text("XXXX").pad(64), "'XXXX'", "another format"),
        bad("GGML file", new GgufBytes().text("tjgg").pad(64), "before GGUF"),
        bad("web page", new GgufBytes().text("<!DOCTYPE html>").pad(64), "web page"),
        bad("archive", new GgufBytes().text("PK\3\4").pad(64), "zip archive"),
        bad(
            "LFS pointer",
            new GgufBytes().text("version https://git-lfs.github.com/spec/v1\n"),
            "Git LFS pointer"),
        bad("control bytes", new GgufBytes().text("\33[2J").pad(64), "'\\u001b[2J'"),
        bad("version 0", new GgufBytes().text("GGUF").u32(0).pad(64), "version is 0", "damaged"),
        bad("version 1", new GgufBytes().text("GGUF").u32(1).pad(64), "version is 1", "dropped"),
        bad("version 4", new GgufBytes().text("GGUF").u32(4).pad(64), "version is 4", "newer"),
        bad("version -1", new GgufBytes().text("GGUF").u32(-1).pad(64), "version is 4294967295"),
        bad("big-endian", new GgufBytes().text("GGUF").raw(0, 0, 0, 3).pad(64), "big-endian"),
        bad("big-endian v2", new GgufBytes().text("GGUF").raw(0, 0, 0, 2).pad(64), "big-endian"),
        bad("swapped magic", new GgufBytes().text("FUGG").raw(0, 0, 0, 3).pad(64), "big-endian"),
        bad("-1 tensors", header(-1, 0), "number of tensors is 18446744073709551615"),
        bad("2^62 tensors", header(HUGE, 0), "number of tensors is 4611686018427387904"),
        bad("-1 keys", header(0, -1), "number of metadata keys is 18446744073709551615"),
        bad("2^62 keys", header(0, HUGE), "number of metadata keys is 4611686018427387904"),
        bad("more keys than bytes", header(0, 1000).pad(1000), "is 1000", "ends after"),
        bad("more tensors than bytes", header(1000, 0).pad(1000), "is 1000", "ends after"));
  }

  public static Stream<Arguments> metadata() {
    return Stream.of(
        bad("empty key", header(0, 1).string("").u32(UINT8).pad(64), "metadata key 0", "empty"),
        bad(
            "duplicate key",
            header(0, 2).uint32("a", 1).uint32("a", 2),
            "metadata 'a'",
            "occurs twice"),
        bad(
            "key beyond limit",
            header(0, 1).string("k".repeat(65536)).u32(UINT8).pad(64),
            "65536 bytes",
            "at most 65535"),
        bad(
            "array of strings of 2^63 in 43 bytes",
            header(0, 1).array("a", STRING, Long.MIN_VALUE).pad(43),
            "array's length is 9223372036854775808"),
        bad("key length 2^63", header(0, 1).u64(Long.MIN_VALUE).pad(43), "9223372036854775808"),
        bad("key no UTF-8", header(0, 1).u64(1).raw(0xff).u32(UINT8).pad(64), "UTF-8"),
        bad(
            "string of 2^63 bytes",
            header(0, 1).key("a", STRING).u64(Long.MIN_VALUE).pad(64),
            "metadata 'a'",
            "9223372036854775808 bytes"),
        bad("string beyond end", header(0, 1).key("a", STRING).u64(900).pad(64), "needs 900 bytes"),
        bad(
            "array of 2^63 in a short file",
            header(0, 1).array("a", UINT8, Long.MIN_VALUE).pad(64),
            "array's length is 9223372036854775808"),
        bad(
            "array of 2^30 in a short file",
            header(0, 1).array("a", UINT64, 1 << 30).pad(64),
            "array's length is 1073741824",
            "8589934592 bytes"),
        bad(
            "array of 2^30 + 1",
            header(0, 1).array("a", UINT8, (1 << 30) + 1).pad(64),
            "expected 0 to 1073741824"),
        bad(
            "strings beyond end",
            header(0, 1).array("a", STRING, 2).string("x").u64(5).text("abc"),
            "needs 5 bytes"),
        bad("nested array", header(0, 1).array("a", ARRAY, 1).pad(99), "array of arrays"),
        bad("type 13", header(0, 1).key("a", 13).pad(64), "type is 13, expected 0 to 12"),
        bad("type -1", header(0, 1).key("a", -1).pad(64), "type is 4294967295"),
        bad("element type 13", header(0, 1).array("a", 13, 1).pad(99), "element type is 13"),
        bad("bool of 2", header(0, 1).key("a", BOOL).raw(2).pad(64), "a bool is 2"),
        bad("alignment 0", header(0, 1).uint32("general.alignment", 0), "is 0", "power of two"),
        bad("alignment 13", header(0, 1).uint32("general.alignment", 13), "is 13"),
        bad("alignment 2^31", header(0, 1).uint32("general.alignment", 1L << 31), "2147483648"),
        bad("alignment 2 MiB", header(0, 1).uint32("general.alignment", 1 << 21), "1048576"),
        bad(
            "alignment of type INT32",
            header(0, 1).key("general.alignment", INT32).u32(32),
            "is INT32, expected UINT32"));
  }

  public static Stream<Arguments> tensors() {
    return Stream.of(
        bad("5 dimensions", one("t", 0, 0, 1, 1, 1, 1, 1), "tensor 't'", "5 dimensions"),
        bad(
            "2^32 - 1 dimensions",
            header(1, 0).string("t").u32(-1).pad(99),
            "4294967295 dimensions"),
        bad("dimension 0", one("t", 0, 0, 4, 0), "dimension is 0"),
        bad("dimension -1", one("t", 0, 0, 4, -1), "dimension is 18446744073709551615"),
        bad("product above 2^63", one("t", 0, 0, HUGE, 4), "overflows"),
        bad("product a multiple of 2^64", one("t", 0, 0, 1L << 32, 1L << 32), "overflows"),
        bad("bytes above 2^63", one("t", 0, 0, HUGE), "overflows"),
        bad("row no multiple of the block", one("t", 8, 0, 33, 32), "rows have 33", "32", "Q8_0"),
        bad("row no multiple of 256", one("t", 12, 0, 128, 2), "rows have 128", "256", "Q4_K"),
        bad("scalar of a block type", one("t", 2, 0), "rows have 1"),
        bad("type removed", one("t", 31, 0, 32), "type is 31 (Q4_0_4_4)", "removed"),
        bad("type unknown", one("t", 999, 0, 32), "type is 999"),
        bad("type -1", one("t", -1, 0, 32), "type is 4294967295"),
        bad("first offset not 0", one("t", 0, 32, 4), "offset is 32, expected 0"),
        bad("offset 2^64 - 1", one("t", 0, -1, 4), "offset is 18446744073709551615"),
        bad("gap", two("u", 64), "tensor 'u'", "offset is 64, expected 32"),
        bad("overlap", two("u", 16), "offset is 16, expected 32"),
        bad("same offset", two("u", 0), "offset is 0, expected 32"),
        bad("name twice", two("t", 32), "tensor 't'", "occurs twice"),
        bad("name empty", one("", 0, 0, 4), "tensor 0", "name is empty"),
        bad("name of 64 bytes", one(NAME64, 0, 0, 4), "64 bytes", "at most 63"),
        bad(
            "data short by a byte",
            header(1, 0).tensor("t", 0, 0, 4).pad(32).raw(new byte[15]),
            "needs 16 bytes",
            "ends at byte"),
        bad("no data", header(1, 0).tensor("t", 0, 0, 4), "needs 16 bytes"),
        bad("huge data", one("t", 0, 0, 1L << 60), "needs 4611686018427387904 bytes"));
  }

  public static Stream<Arguments> vocabularies() {
    String tokens = "tokenizer.ggml.tokens";
    String scores = "tokenizer.ggml.scores";
    String types = "tokenizer.ggml.token_type";
    return Stream.of(
        bad("tokens a string", header(0, 1).key(tokens, "a"), tokens, "is STRING"),
        bad("tokens numbers", header(0, 1).array(tokens, INT32, 1).u32(1), "array of INT32"),
        bad(
            "scores as uint8",
            header(0, 2).strings(tokens, "a").array(scores, UINT8, 1).raw(1),
            scores,
            "array of UINT8, expected of FLOAT32"),
        bad(
            "scores too few",
            header(0, 2).strings(tokens, "a", "b").array(scores, FLOAT32, 1).f32(0),
            "has 1 elements, expected 2"),
        bad(
            "types too many",
            header(0, 2).strings(tokens, "a").array(types, INT32, 2).u32(1).u32(1),
            "has 2 elements, expected 1"),
        bad("scores without tokens", header(0, 1).array(scores, FLOAT32, 1).f32(0), "expected 0"),
        bad(
            "merges as uint32",
            header(0, 1).array("tokenizer.ggml.merges", UINT32, 1).u32(7),
            "tokenizer.ggml.merges",
            "array of UINT32"),
        bad("byte token <0x-1>", byteToken("<0x-1>"), "token 1", "'<0x-1>'", "<0x00>"),
        bad("byte token <0xZZ>", byteToken("<0xZZ>"), "token 1", "'<0xZZ>'"),
        bad("byte token too long", byteToken("<0x100>"), "'<0x100>'"),
        bad("byte token empty", byteToken(""), "''"),
        bad(
            "10^9 blocks",
            header(0, 2).key("general.architecture", "llama").uint32("llama.block_count", 1 << 30),
            "'llama.block_count'",
            "1073741824",
            "1 to 512"),
        bad(
            "no blocks",
            header(0, 2).key("general.architecture", "llama").uint32("llama.block_count", 0),
            "is 0, expected 1 to 512"),
        bad(
            "block count a string",
            header(0, 2).key("general.architecture", "x").key("x.block_count", "30"),
            "is STRING, expected an integer"),
        bad("architecture a number", header(0, 1).uint32("general.architecture", 1), "UINT32"));
  }

  private static GgufBytes one(String name, int type, long offset, long... sizes) {
    return header(1, 0).tensor(name, type, offset, sizes).pad(32).pad(1024);
  }

  private static GgufBytes two(String name, long offset) {
    return header(2, 0).tensor("t", 0, 0, 4).tensor(name, 0, offset, 4).pad(32).pad(1024);
  }

  private static GgufBytes byteToken(String text) {
    return header(0, 2)
        .strings("tokenizer.ggml.tokens", "<0xZZ>", text)
        .array("tokenizer.ggml.token_type", INT32, 2)
        .u32(1)
        .u32(6);
  }

  /** One line that names the file and says what was seen, at once. */
  @ParameterizedTest(name = "{0}")
  @MethodSource({"headers", "metadata", "tensors", "vocabularies"})
  void isRefusedInOneLine(String what, GgufBytes bytes, String[] inMessage) {
    Path path = bytes.write(directory.resolve("bad.gguf"));
    ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
    InvalidInputException e =
        assertTimeoutPreemptively(
            Duration.ofSeconds(5),
            () -> {
              long before = threads.getCurrentThreadAllocatedBytes();
              InvalidInputException refusal =
                  assertThrows(InvalidInputException.class, () -> GgufFile.open(path));
              long allocated = threads.getCurrentThreadAllocatedBytes() - before;
              // classes and message formats of the first refusal take some hundreds of kilobytes
              assertTrue(
                  allocated <= 2 * Files.size(path) + (8 << 20), allocated + " bytes allocated");
              return refusal;
            });
    assertEquals(1, e.problems().size());
    assertEquals(1, e.getMessage().lines().count(), e.getMessage());
    assertTrue(e.getMessage().startsWith(path + ": "), e.getMessage());
    for (String part : inMessage) {
      assertTrue(e.getMessage().contains(part), "'" + part + "' in: " + e.getMessage());
    }
    assertTrue(
        e.getMessage().chars().noneMatch(c -> c < ' '), "control characters: " + e.getMessage());
  }

  @Test
  void everyPrefixOfAFileIsRefused() throws IOException {
    byte[] whole = sample().bytes();
    Path path = directory.resolve("short.gguf");
    for (int length = 0; length < whole.length; length++) {
      Files.write(path, Arrays.copyOf(whole, length));
      assertThrows(InvalidInputException.class, () -> GgufFile.open(path), "length " + length);
    }
    Files.write(path, whole);
    GgufFile.open(path).close();
  }

  @Test
  void randomDamageIsRefusedOrHarmless() throws IOException {
    byte[] whole = sample().bytes();
    Random random = new Random(5);
    Path path = directory.resolve("damaged.gguf");
    int refused = 0;
    for (int round = 0; round < 3000; round++) {
      byte[] damaged = whole.clone();
      for (int n = 1 + random.nextInt(4); n > 0; n--) {
        damaged[random.nextInt(damaged.length)] = (byte) random.nextInt();
      }
      Files.write(path, damaged);
      try (GgufFile file = GgufFile.open(path)) {
        readAll(file);
      } catch (InvalidInputException e) {
        assertEquals(1, e.getMessage().lines().count(), e.getMessage());
        refused++;
      }
    }
    assertTrue(refused > 500 && refused < 3000, "refused " + refused);
  }

  private static void readAll(GgufFile file) {
    for (String key : file.metadata().keys()) {
      if (file.metadata().type(key) == MetadataType.STRING) {
        file.metadata().getString(key);
      }
    }
    for (GgufTensor tensor : file.tensors().values()) {
      int n = Math.toIntExact(tensor.elements());
      file.dequantize(tensor.name(), 0, n, new float[n], 0);
    }
  }

  /** Every kind of field once; the last tensor ends the file without padding. */
  private static GgufBytes sample() {
    return header(2, 5)
        .key("general.architecture", "llama")
        .uint32("llama.block_count", 2)
        .strings("tokenizer.ggml.tokens", "a", "<0x0A>")
        .array("tokenizer.ggml.token_type", INT32, 2)
        .u32(1)
        .u32(6)
        .key("flag", BOOL)
        .raw(1)
        .tensor("w", GgmlType.Q8_0.number(), 0, 32, 2)
        .tensor("b", GgmlType.F32.number(), 96, 5)
        .pad(32)
        .raw(new byte[96])
        .raw(new byte[20]);
  }
}
