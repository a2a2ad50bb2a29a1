package ai.nibble.quant;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import ai.nibble.Shared;
import ai.nibble.cuda.Int8Kernels;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.HostKernels;
import ai.nibble.tensor.KernelLaunchers;
import ai.nibble.tensor.Scope;
import ai.nibble.tensor.Tensor;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** The int8 cases of {@code fixtures/quant}, made by bitsandbytes 0.50, through the kernels. */
@Tag("golden")
class GoldenInt8Test {
  private KernelLaunchers.Installation host;

  @BeforeEach
  void install() {
    host = HostKernels.install();
  }

  @AfterEach
  void remove() {
    if (host != null) {
      host.close();
    }
  }

  @Test
  void weightsOutliersAndProductsAreThoseOfBitsandbytes() throws IOException {
    Path folder = Shared.fixtures("quant");
    int cases = 0;
    for (JsonNode c : new ObjectMapper().readTree(folder.resolve("index.json").toFile())) {
      if (c.get("quant_type").asText().equals("int8")) {
        SafetensorsFixture golden = new SafetensorsFixture(folder.resolve(c.get("file").asText()));
        try (Scope scope = new Scope()) {
          check(golden, (float) c.get("threshold").asDouble(), scope);
        }
        cases++;
      }
    }
    assertEquals(2, cases);
  }

  private static void check(SafetensorsFixture golden, float threshold, Scope scope) {
    Tensor weight = scope.own(golden.tensor("weight"));
    Tensor x = scope.own(golden.tensor("activation"));
    int out = (int) weight.size(0);
    int in = (int) weight.size(1);
    int rows = (int) x.size(0);
    Tensor cb = scope.empty(DType.INT8, out, in);
    Tensor scb = scope.empty(DType.FLOAT32, out);
    Int8Kernels.quantize(weight, cb, scb);
    assertArrayEquals(golden.bytes("CB"), Bits.of(cb));
    assertArrayEquals(golden.floats("SCB"), scb.toFloats());

    Tensor plain = scope.empty(DType.FLOAT32, out, in);
    Int8Kernels.dequantize(cb, scb, plain);
    float[] w = plain.toFloats();
    // Two roundings here, as many there, perhaps in another order.
    assertArrayEquals(golden.floats("dequantized_weight"), w, 4 * 0x1p-24f * max(w));

    Tensor q = scope.empty(DType.INT8, rows, in);
    Tensor absmax = scope.empty(DType.FLOAT32, rows);
    Tensor outliers = scope.own(Tensor.zeros(DType.UINT8, in));
    if (threshold > 0) {
      Int8Kernels.quantize(x, q, absmax, outliers, threshold);
    } else {
      Int8Kernels.quantize(x, q, absmax);
    }
    byte[] left = Bits.of(outliers);
    assertArrayEquals(golden.bytes("outlier_columns"), left);

    Tensor sums = scope.empty(DType.INT32, rows, out);
    ByteBuffer ints = sums.bytes(0, (int) sums.byteSize());
    byte[] a = Bits.of(q);
    byte[] b = Bits.of(cb);
    for (int i = 0; i < rows * out; i++) {
      int sum = 0;
      for (int k = 0; k < in; k++) {
        sum += a[i / out * in + k] * b[i % out * in + k];
      }
      ints.putInt(4 * i, sum);
    }
    Tensor y = scope.empty(DType.FLOAT32, rows, out);
    Int8Kernels.recover(sums, absmax, scb, y);
    float[] seen = y.toFloats();
    float[] inputs = x.toFloats();
    for (int i = 0; i < seen.length; i++) {
      for (int k = 0; k < in; k++) {
        seen[i] += left[k] == 0 ? 0 : inputs[i / out * in + k] * w[i % out * in + k];
      }
    }
    float[] expected = golden.floats("expected_output");
    // The original rounds the product and the part of the outliers, and their sum, to float16.
    assertArrayEquals(expected, seen, 3 * 0x1p-11f * max(expected));
  }

  private static float max(float[] values) {
    float max = 0;
    for (float v : values) {
      max = Math.max(max, Math.abs(v));
    }
    return max;
  }
}
