package ai.nibble.quant;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;

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
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/**
 * The int8 cases of {@code fixtures/quant}, made by bitsandbytes 0.50, on the CPU and by the
 * kernels.
 */
@Tag("golden")
class GoldenInt8Test {
  /** Two ways to the same bits. */
  private interface Rows8 {
    /** Quantises; a threshold of 0 is none. */
    void quantize(Tensor in, Tensor q, Tensor absmax, Tensor outliers, float threshold);

    void recover(Tensor sums, Tensor rowAbsmax, Tensor columnAbsmax, Tensor y);

    /** A weight's codes and scales, taken over. */
    Tensor[] weight(Tensor weight);

    float[] values(Tensor codes, Tensor absmax);
  }

  private static final class OnTheCpu implements Rows8 {
    @Override
    public void quantize(Tensor in, Tensor q, Tensor absmax, Tensor outliers, float threshold) {
      try (Tensor floats = in.to(DType.FLOAT32)) {
        Int8Rows.quantize(floats, q, absmax, outliers, threshold);
      }
    }

    @Override
    public void recover(Tensor sums, Tensor rowAbsmax, Tensor columnAbsmax, Tensor y) {
      Int8Rows.recover(sums, rowAbsmax, columnAbsmax, y);
    }

    @Override
    public Tensor[] weight(Tensor weight) {
      float[] values = weight.toFloats();
      try (Quantized8Bit held =
          Quantized8Bit.quantize(
              "w",
              weight.size(0),
              weight.size(1),
              (first, into, n) -> System.arraycopy(values, (int) first, into, 0, n))) {
        return new Tensor[] {held.codes().share(), held.absmax().share()};
      }
    }

    @Override
    public float[] values(Tensor codes, Tensor absmax) {
      try (Quantized8Bit held = Quantized8Bit.of("w", codes.share(), absmax.share());
          Tensor plain = Tensor.empty(DType.FLOAT32, codes.shape())) {
        held.dequantize(plain, 0, DType.FLOAT32);
        return plain.toFloats();
      }
    }
  }

  private static final class ByKernels implements Rows8 {
    @Override
    public void quantize(Tensor in, Tensor q, Tensor absmax, Tensor outliers, float threshold) {
      if (threshold > 0) {
        Int8Kernels.quantize(in, q, absmax, outliers, threshold);
      } else {
        Int8Kernels.quantize(in, q, absmax);
      }
    }

    @Override
    public void recover(Tensor sums, Tensor rowAbsmax, Tensor columnAbsmax, Tensor y) {
      Int8Kernels.recover(sums, rowAbsmax, columnAbsmax, y);
    }

    @Override
    public Tensor[] weight(Tensor weight) {
      Tensor codes = Tensor.empty(DType.INT8, weight.shape());
      Tensor absmax = Tensor.empty(DType.FLOAT32, weight.size(0));
      Int8Kernels.quantize(weight, codes, absmax);
      return new Tensor[] {codes, absmax};
    }

    @Override
    public float[] values(Tensor codes, Tensor absmax) {
      try (Tensor plain = Tensor.empty(DType.FLOAT32, codes.shape())) {
        Int8Kernels.dequantize(codes, absmax, plain);
        return plain.toFloats();
      }
    }
  }

  @Test
  void onTheCpuWeightsOutliersAndProductsAreThoseOfBitsandbytes() throws IOException {
    checkAll(new OnTheCpu());
  }

  @Test
  void byKernelsWeightsOutliersAndProductsAreThoseOfBitsandbytes() throws IOException {
    try (KernelLaunchers.Installation host = HostKernels.install()) {
      assertNotNull(host);
      checkAll(new ByKernels());
    }
  }

  private static void checkAll(Rows8 ways) throws IOException {
    Path folder = Shared.fixtures("quant");
    int cases = 0;
    for (JsonNode c : new ObjectMapper().readTree(folder.resolve("index.json").toFile())) {
      if (c.get("quant_type").asText().equals("int8")) {
        SafetensorsFixture golden = new SafetensorsFixture(folder.resolve(c.get("file").asText()));
        try (Scope scope = new Scope()) {
          check(ways, golden, (float) c.get("threshold").asDouble(), scope);
        }
        cases++;
      }
    }
    assertEquals(2, cases);
  }

  private static void check(Rows8 ways, SafetensorsFixture golden, float threshold, Scope scope) {
    Tensor weight = scope.own(golden.tensor("weight"));
    Tensor x = scope.own(golden.tensor("activation"));
    int out = (int) weight.size(0);
    int in = (int) weight.size(1);
    int rows = (int) x.size(0);
    Tensor[] held = ways.weight(weight);
    Tensor cb = scope.own(held[0]);
    Tensor scb = scope.own(held[1]);
    assertArrayEquals(golden.bytes("CB"), Bits.of(cb));
    assertArrayEquals(golden.floats("SCB"), scb.toFloats());

    float[] w = ways.values(cb, scb);
    // Two roundings here, as many there, perhaps in another order.
    assertArrayEquals(golden.floats("dequantized_weight"), w, 4 * 0x1p-24f * max(w));

    Tensor q = scope.empty(DType.INT8, rows, in);
    Tensor absmax = scope.empty(DType.FLOAT32, rows);
    Tensor outliers = scope.own(Tensor.zeros(DType.UINT8, in));
    ways.quantize(x, q, absmax, outliers, threshold);
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
    ways.recover(sums, absmax, scb, y);
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
