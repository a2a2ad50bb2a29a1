package ai.nibble.train;

import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.tensor.DType;
import ai.nibble.tensor.NativeHeap;
import ai.nibble.tensor.Tensor;
import ai.nibble.train.log.ProcessMemory;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

class HeapBoundTest {
  private static final long GIB = 1L << 30;

  @Test
  void whatTheNextStepTakesIsKept() {
    assertFalse(HeapBound.isTooMuch(GIB, GIB));
    assertFalse(HeapBound.isTooMuch(15 << 20, 1 << 20));
    assertTrue(HeapBound.isTooMuch(7 * GIB / 4, GIB));
    assertTrue(HeapBound.isTooMuch(200 << 20, 1 << 20));
  }

  /** Every other buffer stays, as oneDNN's do, so that the heap cannot shrink from its end. */
  @Test
  void trimmingGivesHolesBack() {
    List<Tensor> kept = new ArrayList<>();
    List<Tensor> freed = new ArrayList<>();
    for (int i = 0; i < 32; i++) {
      freed.add(Tensor.zeros(DType.INT8, 4 << 20));
      kept.add(Tensor.zeros(DType.INT8, 4 << 10));
    }
    freed.forEach(Tensor::close);
    long before = ProcessMemory.residentBytes();
    NativeHeap.trim();
    long after = ProcessMemory.residentBytes();
    kept.forEach(Tensor::close);
    // 128 MiB lie free; what other threads of this process take meanwhile is far less than half
    assertTrue(before - after > 64 << 20, before + " before, " + after + " after");
  }
}
