package ai.nibble.quant;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.security.MessageDigest;
import java.util.HexFormat;
import java.util.Random;
import org.junit.jupiter.api.Test;

class NestedAbsmaxTest {
  @Test
  void theMapIsTheOneOfMachinesWithAvx() throws Exception {
    ByteBuffer bytes = ByteBuffer.allocate(1024).order(ByteOrder.LITTLE_ENDIAN);
    bytes.asFloatBuffer().put(SignedDynamicMap.values());
    byte[] digest = MessageDigest.getInstance("SHA-256").digest(bytes.array());
    assertEquals("e732639a65f497b4", HexFormat.of().formatHex(digest, 0, 8));
  }

  @Test
  void theMapAscendsAndMirrorsAroundItsZero() {
    float[] map = SignedDynamicMap.values();
    for (int k = 1; k < 256; k++) {
      assertTrue(map[k] > map[k - 1], "entry " + k);
    }
    for (int k = 0; k <= 127; k++) {
      assertEquals(0f, map[127 + k] + map[127 - k]);
    }
    assertEquals(1f, map[255]);
  }

  @Test
  void nearestKeepsTheEvenIndexHalfWayBetweenTwo() {
    float[] map = SignedDynamicMap.values();
    for (int i = 0; i < 255; i++) {
      float middle = (map[i] + map[i + 1]) * 0.5f;
      assertEquals(i % 2 == 0 ? i : i + 1, SignedDynamicMap.nearest(middle), "above entry " + i);
      assertEquals(i, SignedDynamicMap.nearest(Math.nextDown(middle)), "above entry " + i);
      assertEquals(i + 1, SignedDynamicMap.nearest(Math.nextUp(middle)), "above entry " + i);
      assertEquals(i, SignedDynamicMap.nearest(map[i]));
    }
    assertEquals(0, SignedDynamicMap.nearest(-1.0000001f));
    assertEquals(255, SignedDynamicMap.nearest(1.0000001f));
  }

  @Test
  void nearestEqualsTheScanOfTheReference() {
    Random random = new Random(3);
    for (int k = 0; k < 100_000; k++) {
      float x = (float) Math.pow(random.nextFloat() * 2 - 1, k % 2 == 0 ? 1 : 7);
      assertEquals(ReferenceQuant4.nearest(x), SignedDynamicMap.nearest(x), "at " + x);
    }
  }

  /** Five blocks of the pattern of formats' golden values, as bitsandbytes quantises them. */
  @Test
  void fiveBlocksGiveTheStatisticsOfBitsandbytes() {
    float[] absmax = {.390625f, .78125f, 1.5625f, .1953125f, 2.34375f};
    byte[] indices = new byte[5];
    NestedAbsmax nested = NestedAbsmax.quantize(FloatBuffer.wrap(absmax), ByteBuffer.wrap(indices));
    assertEquals(1.0546875f, nested.offset());
    assertArrayEquals(new float[] {1.2890625f}, nested.absmax2());
    assertArrayEquals(new byte[] {34, 56, (byte) 211, 23, (byte) 255}, indices);
    float[] recovered = {
      .3910217881202698f, .789825439453125f, 1.555206298828125f, .19161993265151978f, 2.34375f
    };
    for (int b = 0; b < 5; b++) {
      assertEquals(recovered[b], nested.recover(b, indices[b] & 0xFF));
    }
  }

  @Test
  void fastEqualsTheReferenceOnAnyNumberOfBlocks() {
    Random random = new Random(11);
    for (int n : new int[] {0, 1, 2, 255, 256, 257, 511, 512, 3001}) {
      float[] absmax = new float[n];
      float scale = (float) Math.pow(10, random.nextInt(60) - 42);
      for (int b = 0; b < n; b++) {
        absmax[b] = random.nextInt(50) == 0 ? 0 : Math.abs((float) random.nextGaussian()) * scale;
      }
      byte[] expected = new byte[n];
      byte[] actual = new byte[n];
      NestedAbsmax reference = ReferenceQuant4.quantizeAbsmax(absmax, expected);
      NestedAbsmax fast = NestedAbsmax.quantize(FloatBuffer.wrap(absmax), ByteBuffer.wrap(actual));
      assertArrayEquals(expected, actual);
      assertArrayEquals(reference.absmax2(), fast.absmax2());
      assertEquals(reference.offset(), fast.offset());
    }
  }

  @Test
  void equalAbsmaxValuesAreRecoveredExactly() {
    for (float value : new float[] {0f, 0.1f, 1e-40f, 3e38f}) {
      float[] absmax = new float[300];
      java.util.Arrays.fill(absmax, value);
      byte[] indices = new byte[300];
      NestedAbsmax nested =
          NestedAbsmax.quantize(FloatBuffer.wrap(absmax), ByteBuffer.wrap(indices));
      for (int b = 0; b < 300; b++) {
        assertEquals(value, nested.recover(b, indices[b] & 0xFF));
      }
    }
  }

  /** Half the widest gap between neighbouring map entries, 0.0141, times absmax2, and rounding. */
  @Test
  void recoveredAbsmaxIsWithinHalfAMapStep() {
    Random random = new Random(12);
    float[] absmax = new float[1000];
    for (int b = 0; b < 1000; b++) {
      absmax[b] = 0.05f + 0.01f * (float) random.nextGaussian();
    }
    byte[] indices = new byte[1000];
    NestedAbsmax nested = NestedAbsmax.quantize(FloatBuffer.wrap(absmax), ByteBuffer.wrap(indices));
    for (int b = 0; b < 1000; b++) {
      float bound = 0.0071f * nested.absmax2()[b / 256] + 1e-8f;
      assertEquals(absmax[b], nested.recover(b, indices[b] & 0xFF), bound);
    }
  }

  @Test
  void aMapOfAnotherSizeIsRefused() {
    assertThrows(
        IllegalArgumentException.class, () -> new NestedAbsmax(new float[1], new float[16], 0));
  }
}
