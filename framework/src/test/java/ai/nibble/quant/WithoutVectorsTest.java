package ai.nibble.quant;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.tensor.DType;
import ai.nibble.tensor.Tensor;
import java.io.File;
import java.nio.charset.StandardCharsets;
import java.util.HexFormat;
import java.util.Random;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;

/** A JVM started without the Vector API computes the same, with other means. */
class WithoutVectorsTest {
  /** What the other JVM runs. */
  static final class Other {
    private Other() {}

    /** Prints whether packed products are there, and a weight's values. */
    public static void main(String[] args) {
      System.out.println(PackedProduct.isAvailable());
      System.out.println(HexFormat.of().formatHex(values()));
    }
  }

  private static byte[] values() {
    Random random = new Random(3);
    float[] values = new float[5000];
    for (int i = 0; i < values.length; i++) {
      values[i] = (float) random.nextGaussian();
    }
    Quant4Config config = new Quant4Config(Quant4Type.NF4, 64, true);
    try (Quantizer4Bit quantizer = new Quantizer4Bit("w", config, DType.FLOAT32, 50, 100)) {
      quantizer.accept(0, values, values.length);
      try (Quantized4Bit weight = quantizer.finish();
          Tensor all = Tensor.empty(DType.BFLOAT16, 5000)) {
        assertTrue(!PackedProduct.isAvailable() || !PackedProduct.takes(weight));
        weight.dequantize(all);
        return Bits.of(all);
      }
    }
  }

  @Test
  void packedProductsAreNotThereAndValuesAreTheSame() throws Exception {
    File log = File.createTempFile("nibble", ".log");
    try {
      Process process =
          new ProcessBuilder(
                  System.getProperty("java.home") + "/bin/java",
                  "-cp",
                  System.getProperty("java.class.path"),
                  Other.class.getName())
              .redirectError(log)
              .start();
      String text = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
      assertTrue(process.waitFor(60, TimeUnit.SECONDS));
      String[] lines = text.split("\n");
      assertEquals("false", lines[0], text);
      assertArrayEquals(values(), HexFormat.of().parseHex(lines[1]));
    } finally {
      assertTrue(log.delete());
    }
  }
}
