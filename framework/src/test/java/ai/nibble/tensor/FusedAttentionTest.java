package ai.nibble.tensor;

import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.Test;

/** Which heads the kernels of libtorch take. */
class FusedAttentionTest {
  @Test
  void flashAttentionTakesSomeHeadsOnSomeDevices() {
    assertTrue(FlashAttention.takes(90, DType.BFLOAT16, 64));
    assertTrue(FlashAttention.takes(80, DType.BFLOAT16, 256));
    assertTrue(FlashAttention.takes(90, DType.BFLOAT16, 200));
    assertFalse(FlashAttention.takes(86, DType.BFLOAT16, 200), "no backward");
    assertFalse(FlashAttention.takes(90, DType.FLOAT32, 64));
    assertFalse(FlashAttention.takes(90, DType.BFLOAT16, 60));
    assertFalse(FlashAttention.takes(90, DType.BFLOAT16, 264));
    assertFalse(FlashAttention.takes(75, DType.BFLOAT16, 64));
    assertFalse(FlashAttention.takes(Device.CPU, DType.BFLOAT16, 64));
  }

  @Test
  void efficientAttentionNamesHeadsThatItDoesNotTake() {
    try (Tensor q = Tensor.zeros(DType.FLOAT32, 5, 4, 12);
        Tensor k = Tensor.zeros(DType.FLOAT32, 5, 2, 12);
        Tensor starts = Tensor.ofInts(Device.CPU, new int[] {0, 5})) {
      FusedAttention.Sequences one = new FusedAttention.Sequences(starts, 5, new int[] {0, 5});
      EfficientAttention kernel = new EfficientAttention();
      String seen =
          assertThrows(
                  TensorException.class,
                  () -> kernel.forward(q, q, q, one, one, new FusedAttention.Scores(1, 0)))
              .getMessage();
      assertTrue(seen.startsWith("efficient_attention: [float32[5, 4, 12], "), seen);
      assertThrows(
          TensorException.class,
          () -> kernel.forward(q, k, k, one, one, new FusedAttention.Scores(1, 0)));
    }
  }
}
