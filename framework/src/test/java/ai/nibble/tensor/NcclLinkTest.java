package ai.nibble.tensor;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** What NCCL is asked for, by a stand-in that writes it down and does it. */
class NcclLinkTest {
  private final RecordingNccl nccl = new RecordingNccl();
  private final Scope scope = new Scope();

  @AfterEach
  void close() {
    scope.close();
  }

  private Tensor values(float... values) {
    return scope.own(Tensor.of(values, values.length));
  }

  @Test
  void aCopyIsASendAndAReceiveOfOneGroupEachOnItsStream() {
    Tensor into = values(0, 0, 0);
    try (DeviceLink link = nccl.linkOf(3)) {
      link.copy(0, into, 2, values(1, 2, 3));
    }
    assertArrayEquals(new float[] {1, 2, 3}, into.toFloats());
    assertEquals(
        List.of(
            "ncclCommInitAll(0 1 2)",
            "ncclGroupStart()",
            "ncclSend(12 bytes, rank 2, peer 0, stream 57b0)",
            "ncclRecv(12 bytes, rank 0, peer 2, stream 57ae)",
            "ncclGroupEnd()",
            "ncclCommDestroy(c0)",
            "ncclCommDestroy(c1)",
            "ncclCommDestroy(c2)"),
        nccl.calls);
  }

  @Test
  void aBroadcastReachesEveryWorkerFromTheFirst() {
    Tensor second = values(3, 4);
    Tensor third = values(5, 6);
    try (DeviceLink link = nccl.linkOf(3)) {
      link.broadcast(List.of(values(1, 2), second, third));
    }
    assertArrayEquals(new float[] {1, 2}, second.toFloats());
    assertArrayEquals(new float[] {1, 2}, third.toFloats());
    assertEquals(
        "ncclBroadcast(8 bytes, rank 2, peer 0, stream 57b0)",
        nccl.calls.get(nccl.calls.size() - 5));
  }

  @Test
  void noMemoryIsSharedBetweenDevices() {
    try (DeviceLink link = nccl.linkOf(2)) {
      assertFalse(link.shares(0, 1));
      assertTrue(link.shares(1, 1));
    }
  }

  @Test
  void aFailureSaysWhichCopyAndNcclsReason() {
    try (DeviceLink link = nccl.linkOf(2)) {
      nccl.failing.put("ncclRecv", 2);
      TensorException e =
          assertThrows(TensorException.class, () -> link.copy(1, values(0), 0, values(1)));
      assertEquals("ncclSend from cuda:0 to cuda:1: NCCL: reason 2", e.getMessage());
      assertEquals("ncclGroupEnd()", nccl.calls.get(nccl.calls.size() - 1), "the group is ended");
      nccl.failing.clear();
      nccl.failing.put("ncclGroupEnd", 3);
      assertThrows(TensorException.class, () -> link.copy(1, values(0), 0, values(1)));
    }
    nccl.failing.put("ncclCommInitAll", 1);
    assertEquals(
        "ncclCommInitAll: NCCL: reason 1",
        assertThrows(TensorException.class, () -> nccl.linkOf(2)).getMessage());
  }

  @Test
  void valuesOfAnotherShapeAreRefusedBeforeAnythingIsSent() {
    try (DeviceLink link = nccl.linkOf(2)) {
      int before = nccl.calls.size();
      assertThrows(TensorException.class, () -> link.copy(0, values(0, 0), 1, values(1)));
      assertThrows(TensorException.class, () -> link.broadcast(List.of(values(1), values(1, 2))));
      assertEquals(before, nccl.calls.size());
    }
  }

  @Test
  void workersOnTheCpuShareTheirMemory() {
    try (DeviceLink link = DeviceLink.between(List.of(Device.CPU, Device.CPU))) {
      assertTrue(link.shares(0, 1));
      assertEquals("shared memory", link.description());
      Tensor into = values(0);
      link.broadcast(List.of(values(9), into));
      assertArrayEquals(new float[] {9}, into.toFloats());
    }
  }
}
