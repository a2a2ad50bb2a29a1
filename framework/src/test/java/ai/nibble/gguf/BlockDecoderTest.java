package ai.nibble.gguf;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.EnumSet;
import java.util.HexFormat;
import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;

class BlockDecoderTest {
  /** Random blocks and their values by the reference package. */
  @Test
  void randomBlocksOfEveryTypeDecodeAsInTheReferencePackage() throws IOException {
    Set<GgmlType> seen = EnumSet.noneOf(GgmlType.class);
    List<String> lines = new ArrayList<>(lines("blocks.txt"));
    lines.addAll(lines("superblocks.txt"));
    lines.addAll(lines("iq4.txt"));
    for (String line : lines) {
      String[] fields = line.split(" ");
      GgmlType type = GgmlType.valueOf(fields[0]);
      byte[] blocks = HexFormat.of().parseHex(fields[1]);
      byte[] expected = HexFormat.of().parseHex(fields[2]);
      int count = blocks.length / type.blockBytes();
      float[] values = new float[count * type.blockElements()];
      BlockDecoder.decode(type, blocks, count, values, 0);
      ByteBuffer bits = ByteBuffer.allocate(expected.length).order(ByteOrder.LITTLE_ENDIAN);
      bits.asFloatBuffer().put(values);
      assertArrayEquals(expected, bits.array(), type.toString());
      seen.add(type);
    }
    assertEquals(
        Arrays.stream(GgmlType.values()).filter(GgmlType::isSupported).collect(Collectors.toSet()),
        seen);
  }

  @Test
  void numbersOfTypesAreUniqueAndFoundAgain() {
    for (GgmlType type : GgmlType.values()) {
      assertEquals(type, GgmlType.ofNumber(type.number()));
      assertTrue(GgmlType.removed(type.number()) == null, type + " is in use");
    }
  }

  static List<String> lines(String resource) throws IOException {
    try (BufferedReader reader =
        new BufferedReader(
            new InputStreamReader(
                BlockDecoderTest.class.getResourceAsStream(resource), StandardCharsets.UTF_8))) {
      return reader.lines().filter(line -> !line.startsWith("#")).toList();
    }
  }
}
