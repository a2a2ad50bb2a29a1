package ai.nibble.gguf;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import java.util.EnumSet;
import java.util.HexFormat;
import java.util.List;
import java.util.Random;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

class BlockEncoderTest {
  static final Set<GgmlType> K_TYPES = EnumSet.range(GgmlType.Q2_K, GgmlType.Q6_K);

  static float[] floats(String hex) {
    byte[] bytes = HexFormat.of().parseHex(hex);
    float[] values = new float[bytes.length / Float.BYTES];
    ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer().get(values);
    return values;
  }

  static byte[] encode(GgmlType type, float[] values) {
    int blocks = values.length / type.blockElements();
    byte[] out = new byte[blocks * type.blockBytes()];
    BlockEncoder.encode(type, values, blocks, out, 0);
    return out;
  }

  static float[] decode(GgmlType type, byte[] bytes) {
    int blocks = bytes.length / type.blockBytes();
    float[] values = new float[blocks * type.blockElements()];
    BlockDecoder.decode(type, bytes, blocks, values, 0);
    return values;
  }

  /** {@code encoded.txt}: random blocks and corners of the rules, by the reference package. */
  @Test
  void typesWithOneRuleGiveTheReferencesBytes() throws IOException {
    List<String> lines = BlockDecoderTest.lines("encoded.txt");
    float[] values = floats(lines.get(0));
    Set<GgmlType> seen = EnumSet.noneOf(GgmlType.class);
    for (String line : lines.subList(1, lines.size())) {
      GgmlType type = GgmlType.valueOf(line.split(" ")[0]);
      byte[] expected = HexFormat.of().parseHex(line.split(" ")[1]);
      assertArrayEquals(expected, encode(type, values), type.toString());
      seen.add(type);
    }
    Set<GgmlType> written = EnumSet.allOf(GgmlType.class);
    written.removeIf(type -> !type.isWritten() || K_TYPES.contains(type));
    assertEquals(written, seen);
  }

  /**
   * What blocks of these types hold, they hold again when encoded anew: the value of largest
   * magnitude has the extreme code already, so the scale comes out as it was.
   */
  @ParameterizedTest
  @EnumSource(names = {"F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1"})
  void whatWasRoundedOnceIsNotRoundedAgain(GgmlType type) {
    float[] values = gaussian(64 * 32, 11);
    byte[] once = encode(type, values);
    assertArrayEquals(once, encode(type, decode(type, once)));
  }

  /** {@code superblock_reference.txt} holds what llama.cpp's reference makes of these values. */
  @Test
  void superBlocksAreAtLeastAsCloseAsTheReferences() throws IOException {
    List<String> lines = BlockDecoderTest.lines("superblock_reference.txt");
    float[] values = floats(lines.get(0));
    Set<GgmlType> seen = EnumSet.noneOf(GgmlType.class);
    for (String line : lines.subList(1, lines.size())) {
      GgmlType type = GgmlType.valueOf(line.split(" ")[0]);
      float[] theirs = decode(type, HexFormat.of().parseHex(line.split(" ")[1]));
      float[] ours = decode(type, encode(type, values));
      double plain = error(values, ours, false) / error(values, theirs, false);
      double weighted = error(values, ours, true) / error(values, theirs, true);
      System.out.printf(
          "%s: RMSE %.5f of the weights', %.4f of llama.cpp's; weighted by magnitude %.4f%n",
          type, relative(values, ours), plain, weighted);
      assertTrue(plain <= 1 && weighted <= 1, type + " " + plain + " " + weighted);
      seen.add(type);
    }
    assertEquals(K_TYPES, seen);
  }

  /**
   * The plain way, which scales each sub-block by its own range, or for types without minimum by
   * its largest magnitude, and keeps the scales in full precision.
   */
  @ParameterizedTest
  @EnumSource(names = {"Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K"})
  void superBlocksAreCloserThanPlainRounding(GgmlType type) {
    float[] values = gaussian(64 * 256, 5);
    int width = type == GgmlType.Q4_K || type == GgmlType.Q5_K ? 32 : 16;
    float[] rounded = new float[values.length];
    for (int at = 0; at < values.length; at += width) {
      float[] part = Arrays.copyOfRange(values, at, at + width);
      float[] back =
          switch (type) {
            case Q2_K -> ranged(part, 3);
            case Q3_K -> signed(part, 4);
            case Q4_K -> ranged(part, 15);
            case Q5_K -> ranged(part, 31);
            default -> signed(part, 32);
          };
      System.arraycopy(back, 0, rounded, at, width);
    }
    double ours = error(values, decode(type, encode(type, values)), false);
    double ratio = ours / error(values, rounded, false);
    assertTrue(ratio < 1, type + " " + ratio);
  }

  private static float[] ranged(float[] part, int steps) {
    float least = 0;
    float greatest = 0;
    for (float x : part) {
      least = Math.min(least, x);
      greatest = Math.max(greatest, x);
    }
    float d = (greatest - least) / steps;
    float[] back = new float[part.length];
    for (int i = 0; i < part.length; i++) {
      back[i] = least + d * Math.round((part[i] - least) / d);
    }
    return back;
  }

  private static float[] signed(float[] part, int half) {
    float extreme = 0;
    for (float x : part) {
      extreme = Math.abs(x) > Math.abs(extreme) ? x : extreme;
    }
    float d = extreme / -half;
    float[] back = new float[part.length];
    for (int i = 0; i < part.length; i++) {
      back[i] = d * Math.min(half - 1, Math.round(part[i] / d));
    }
    return back;
  }

  @ParameterizedTest
  @EnumSource(names = {"Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K"})
  void superBlocksOfOneValueHoldIt(GgmlType type) {
    for (float value : new float[] {0, 0.75f, -3, 1e-9f, 60_000}) {
      float[] values = new float[256];
      Arrays.fill(values, value);
      float[] back = decode(type, encode(type, values));
      // a scale of binary16 is off by 2^-11 at most, and by 2^-25 below its normal numbers; codes
      // and multiples of the scale are whole
      float bound = Math.abs(value) * 0x1p-10f + 0x1p-14f * Math.min(1, Math.abs(value) * 1e4f);
      for (float seen : back) {
        assertEquals(value, seen, Math.max(bound, 1e-8f), type + " " + value);
      }
    }
  }

  /** The cache of a thread that encoded other blocks before must not show. */
  @ParameterizedTest
  @EnumSource(names = {"Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K"})
  void aSuperBlockDependsOnItsOwnValuesOnly(GgmlType type) {
    float[] values = gaussian(3 * 256, 9);
    Arrays.fill(values, 256, 512, 0);
    byte[] together = encode(type, values);
    for (int b = 0; b < 3; b++) {
      byte[] alone = encode(type, Arrays.copyOfRange(values, 256 * b, 256 * b + 256));
      int bytes = type.blockBytes();
      assertArrayEquals(alone, Arrays.copyOfRange(together, b * bytes, (b + 1) * bytes));
    }
  }

  static float[] gaussian(int n, long seed) {
    Random random = new Random(seed);
    float[] values = new float[n];
    for (int i = 0; i < n; i++) {
      values[i] = 0.02f * (float) random.nextGaussian();
    }
    return values;
  }

  private static double error(float[] values, float[] seen, boolean weighted) {
    double sum = 0;
    for (int i = 0; i < values.length; i++) {
      double difference = (double) seen[i] - values[i];
      sum += difference * difference * (weighted ? Math.abs(values[i]) : 1);
    }
    return Math.sqrt(sum);
  }

  private static double relative(float[] values, float[] seen) {
    return error(values, seen, false) / error(values, new float[values.length], false);
  }
}
