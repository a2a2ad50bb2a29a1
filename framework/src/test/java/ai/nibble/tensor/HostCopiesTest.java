package ai.nibble.tensor;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import org.junit.jupiter.api.Test;

/** What the driver is asked for by a copy out and back. */
class HostCopiesTest {
  private static List<String> last(RecordingCopies recorded, int from) {
    return recorded.calls().subList(from, recorded.calls().size());
  }

  @Test
  void eachStreamWaitsForTheOtherAndTheHostForNone() {
    try (RecordingCopies recorded = new RecordingCopies(false);
        HostCopies copies = HostCopies.of(Device.CPU);
        Tensor tensor = Tensor.of(new float[] {1, 2, 3}, 3)) {
      int from = recorded.calls().size();
      HostCopies.Copy copy = copies.begin(tensor);
      copy.arrive();
      Tensor back = copy.back();
      copy.arrive();
      assertArrayEquals(new float[] {1, 2, 3}, back.toFloats());
      back.close();
      copy.close();
      assertEquals(
          List.of(
              "cuMemHostAlloc(12, 0, context c064)",
              "cuEventCreate(2, context c064)",
              // out, after what was computed
              "cuEventRecord(event e000, stream 57ae)",
              "cuStreamWaitEvent(event e000, stream 5d00)",
              "cuMemcpyDtoHAsync(12, stream 5d00)",
              "cuEventRecord(event e001, stream 5d00)",
              // what is computed next may have the memory
              "cuStreamWaitEvent(event e001, stream 57ae)",
              // back, after what was computed with the memory that it gets
              "cuEventRecord(event e000, stream 57ae)",
              "cuStreamWaitEvent(event e000, stream 5d00)",
              "cuMemcpyHtoDAsync(12, stream 5d00)",
              "cuEventRecord(event e001, stream 5d00)",
              "cuStreamWaitEvent(event e001, stream 57ae)"),
          last(recorded, from));
    }
  }

  @Test
  void aCopyWaitsForNothingThatComesLater() {
    try (RecordingCopies recorded = new RecordingCopies(false);
        HostCopies copies = HostCopies.of(Device.CPU);
        Tensor tensor = Tensor.of(new float[] {1, 2, 3}, 3)) {
      HostCopies.Copy copy = copies.begin(tensor);
      assertEquals(1, recorded.cuda.streams.waiting());
      copy.arrive();
      assertEquals(0, recorded.cuda.streams.waiting());
      copy.close();
    }
  }

  @Test
  void pageLockedMemoryServesTheNextCopyOfAboutItsSize() {
    try (RecordingCopies recorded = new RecordingCopies(true)) {
      try (HostCopies copies = HostCopies.of(Device.CPU);
          Tensor large = Tensor.zeros(DType.FLOAT32, 100);
          Tensor smaller = Tensor.zeros(DType.FLOAT32, 60);
          Tensor tiny = Tensor.zeros(DType.FLOAT32, 3)) {
        copies.begin(large).close();
        copies.begin(smaller).close();
        assertEquals(1, recorded.count("cuMemHostAlloc"));
        copies.begin(tiny).close();
        assertEquals(2, recorded.count("cuMemHostAlloc"));
        HostCopies.Copy first = copies.begin(large);
        HostCopies.Copy second = copies.begin(large);
        assertEquals(3, recorded.count("cuMemHostAlloc"), "two at once");
        first.close();
        second.close();
        assertEquals(3, recorded.held());
      }
      assertEquals(0, recorded.held(), "freed in the end");
      assertEquals(recorded.count("cuEventCreate"), recorded.count("cuEventDestroy"));
      assertEquals(1, recorded.count("cuStreamDestroy"));
    }
  }

  @Test
  void aFailedCopyKeepsNothing() {
    try (RecordingCopies recorded = new RecordingCopies(true);
        HostCopies copies = HostCopies.of(Device.CPU);
        Tensor tensor = Tensor.zeros(DType.FLOAT32, 3)) {
      HostCopies.Copy copy = copies.begin(tensor);
      long live = Tensor.live();
      recorded.cuda.failing.put("cuMemcpyHtoDAsync", 1);
      assertThrows(TensorException.class, copy::back);
      assertEquals(live, Tensor.live());
      copy.close();
      recorded.cuda.failing.put("cuMemcpyDtoHAsync", 700);
      String message = assertThrows(TensorException.class, () -> copies.begin(tensor)).getMessage();
      assertTrue(message.startsWith("cuMemcpyDtoHAsync: CUDA_ERROR_700"), message);
      recorded.cuda.failing.put("cuMemHostAlloc", 2);
      try (Tensor other = Tensor.zeros(DType.FLOAT32, 1000)) {
        assertEquals(
            "cuMemHostAlloc of 4000 bytes: CUDA_ERROR_2 (reason 2)",
            assertThrows(TensorException.class, () -> copies.begin(other)).getMessage());
      }
    }
  }

  @Test
  void onlyADeviceHasAMemoryOfItsOwn() {
    assertFalse(HostCopies.serve(Device.CPU));
    assertTrue(HostCopies.serve(new Device(Device.Type.CUDA, 3)));
    try (RecordingCopies recorded = new RecordingCopies(true)) {
      assertTrue(HostCopies.serve(Device.CPU));
      assertEquals(0, recorded.held());
    }
    assertFalse(HostCopies.serve(Device.CPU));
  }

  @Test
  void rowsThatLieApartAreRefused() {
    try (RecordingCopies recorded = new RecordingCopies(true);
        HostCopies copies = HostCopies.of(Device.CPU);
        Tensor rows = Tensor.emptyRows(Device.CPU, DType.FLOAT32, 2, 3, 5)) {
      assertThrows(TensorException.class, () -> copies.begin(rows));
      assertEquals(0, recorded.held());
    }
  }
}
