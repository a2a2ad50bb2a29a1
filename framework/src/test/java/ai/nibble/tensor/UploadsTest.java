package ai.nibble.tensor;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.function.Consumer;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What the driver is asked for by values on their way to a device, and what arrives. */
class UploadsTest {
  private static final Device DEVICE = Device.pretended(1);

  /** Bytes of a piece. */
  private static final int PIECE = 64;

  private final RecordingCuda cuda = new RecordingCuda();
  private final List<String> warnings = new ArrayList<>();

  private Uploads uploads(long first, long most) {
    cuda.current = 0xC065; // the device's context
    return new Uploads(cuda, cuda::stream, DEVICE, first, most, warnings::add);
  }

  private static Consumer<ByteBuffer> floats(float... values) {
    return bytes -> bytes.asFloatBuffer().put(values);
  }

  private static Consumer<ByteBuffer> number(int i, int count) {
    return bytes -> {
      for (int v = 0; v < count; v++) {
        bytes.putInt(1000 * i + v);
      }
    };
  }

  private long count(String call) {
    return cuda.calls.stream().filter(c -> c.startsWith(call + "(")).count();
  }

  private List<String> after(int from) {
    return cuda.calls.subList(from, cuda.calls.size());
  }

  private static Tensor ints(int count) {
    return Tensor.empty(DEVICE, DType.INT32, count);
  }

  @Test
  void aCopyIsQueuedOnTheStreamOfTheComputationAndNothingWaits() {
    try (Uploads uploads = uploads(4096, 4096);
        Tensor to = Tensor.empty(DEVICE, DType.FLOAT32, 3);
        Tensor more = Tensor.empty(DEVICE, DType.FLOAT32, 3)) {
      assertTrue(uploads.write(to, floats(1, 2, 3)));
      assertTrue(uploads.write(more, floats(4, 5, 6)));
      assertEquals(
          List.of(
              "cuDevicePrimaryCtxRetain(101)",
              "cuMemHostAlloc(4096, 0, context c065)",
              "cuEventCreate(2, context c065)",
              "cuMemcpyHtoDAsync(12, stream 57af)",
              "cuEventRecord(event e000, stream 57af)",
              "cuEventCreate(2, context c065)",
              "cuMemcpyHtoDAsync(12, stream 57af)",
              "cuEventRecord(event e001, stream 57af)"),
          cuda.calls);
      assertArrayEquals(new float[] {1, 2, 3}, to.toFloats());
      assertArrayEquals(new float[] {4, 5, 6}, more.toFloats());
    }
    assertEquals(0, cuda.held());
    assertEquals(count("cuEventCreate"), count("cuEventDestroy"));
  }

  /** Four pieces fill it: the fifth waits for the first, and for no other. */
  @Test
  void aFullRingWaitsForItsOldestPiece() {
    try (Uploads uploads = uploads(4 * PIECE, 4 * PIECE);
        Tensor to = ints(PIECE / 4)) {
      for (int i = 0; i < 4; i++) {
        assertTrue(uploads.write(to, number(i, PIECE / 4)));
      }
      assertEquals(0, count("cuEventSynchronize"));
      int from = cuda.calls.size();
      assertTrue(uploads.write(to, number(4, PIECE / 4)));
      assertEquals(
          List.of(
              "cuEventSynchronize(e000)",
              "cuMemcpyHtoDAsync(64, stream 57af)",
              "cuEventRecord(event e000, stream 57af)"),
          after(from));
    }
  }

  @Test
  void memoryIsWrittenAnewWhereTheEventSaysThatItIsDoneAndNothingWaits() {
    cuda.streams.eager = true;
    try (Uploads uploads = uploads(4 * PIECE, 4 * PIECE);
        Tensor to = ints(PIECE / 4)) {
      for (int i = 0; i < 100; i++) {
        assertTrue(uploads.write(to, number(i, PIECE / 4)));
      }
      assertEquals(0, count("cuEventSynchronize"));
      assertEquals(1, count("cuEventCreate"));
      assertEquals(1, count("cuMemHostAlloc"));
    }
  }

  /**
   * Pieces of all sizes, which go round a small ring many times; the stand-in watches its memory.
   */
  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void allArrivesHoweverLateCopiesAreMade(boolean eager) {
    cuda.streams.eager = eager;
    Random random = new Random(3);
    try (Uploads uploads = uploads(1024, 1024);
        Scope scope = new Scope()) {
      List<Tensor> tensors = new ArrayList<>();
      for (int i = 0; i < 500; i++) {
        int size = random.nextInt(i % 50 == 0 ? 256 : 30);
        Tensor to = scope.own(ints(size));
        assertTrue(uploads.write(to, number(i, size)));
        tensors.add(to);
      }
      for (int i = 0; i < tensors.size(); i++) {
        Tensor tensor = tensors.get(i);
        int size = (int) tensor.numel();
        int[] expected = new int[size];
        int[] arrived = new int[size];
        for (int v = 0; v < size; v++) {
          expected[v] = 1000 * i + v;
        }
        tensor.bytes(0, 4 * size).asIntBuffer().get(arrived);
        assertArrayEquals(expected, arrived);
      }
      assertEquals(eager, count("cuEventSynchronize") == 0);
    }
  }

  @Test
  void theRingGrowsSoThatSeveralPiecesFitUpToItsBound() {
    try (Uploads uploads = uploads(1024, 8192);
        Tensor small = ints(256 / 4);
        Tensor large = ints(1024 / 4);
        Tensor largest = ints(8192 / 4);
        Tensor beyond = ints(8196 / 4)) {
      assertTrue(uploads.write(small, number(1, 64)));
      int from = cuda.calls.size();
      assertTrue(uploads.write(large, number(2, 256)));
      assertEquals(
          List.of(
              "cuMemHostAlloc(4096, 0, context c065)",
              "cuEventSynchronize(e000)", // its memory is freed
              "cuMemFreeHost()",
              "cuMemcpyHtoDAsync(1024, stream 57af)",
              "cuEventRecord(event e000, stream 57af)"),
          after(from));
      assertTrue(uploads.write(largest, number(3, 2048)));
      assertTrue(cuda.calls.contains("cuMemHostAlloc(8192, 0, context c065)"));
      int to = cuda.calls.size();
      assertFalse(uploads.write(beyond, bytes -> {}));
      assertTrue(uploads.write(small, number(4, 64)));
      assertEquals(1, after(to).stream().filter(c -> c.startsWith("cuMemcpy")).count());
      assertEquals(1, cuda.held());
    }
    assertEquals(List.of(), warnings);
  }

  @Test
  void withoutPageLockedMemoryNothingIsQueuedAndOneLineSaysSo() {
    cuda.failing.put("cuMemHostAlloc", 2);
    try (Uploads uploads = uploads(1024, 4096);
        Tensor to = ints(8)) {
      for (int i = 0; i < 3; i++) {
        assertFalse(uploads.write(to, bytes -> {}));
      }
      assertEquals(1, count("cuMemHostAlloc"));
    }
    assertEquals(
        List.of(
            "not enough page-locked memory for copies to cpu:1 (cuMemHostAlloc of 1024 bytes:"
                + " CUDA_ERROR_2 (reason 2)): each makes the host wait for the GPU, which is slower"
                + " and gives the same results"),
        warnings);
  }

  @Test
  void aRingThatCannotGrowServesWhatItTakes() {
    try (Uploads uploads = uploads(1024, 1 << 20);
        Tensor small = ints(64);
        Tensor large = ints(1024)) {
      assertTrue(uploads.write(small, number(1, 64)));
      cuda.failing.put("cuMemHostAlloc", 2);
      assertFalse(uploads.write(large, bytes -> {}));
      assertTrue(uploads.write(small, number(2, 64)));
      assertFalse(uploads.write(large, bytes -> {}));
    }
    assertEquals(1, warnings.size());
    assertTrue(warnings.get(0).contains("): of more than 1024 bytes each makes"), warnings.get(0));
  }

  @Test
  void memoryWhoseCopyHasNoEventIsNotWrittenAgain() {
    try (Uploads uploads = uploads(1024, 1024);
        Tensor to = ints(8)) {
      cuda.failing.put("cuEventRecord", 1);
      assertThrows(TensorException.class, () -> uploads.write(to, number(1, 8)));
      cuda.failing.clear();
      assertFalse(uploads.write(to, bytes -> {}));
      cuda.streams.eager = true; // else the memory would be freed under way
      cuda.streams.synchronize(0xE000);
    }
  }

  /** Each on its own stream and of its own device's ring, or of one that they share. */
  @Test
  void threadsTakeTurns() throws InterruptedException {
    try (Uploads uploads = uploads(1024, 1024);
        Scope scope = new Scope()) {
      List<Thread> threads = new ArrayList<>();
      List<Tensor> last = new ArrayList<>();
      for (int t = 0; t < 3; t++) {
        int own = t;
        Tensor to = scope.own(ints(40));
        last.add(to);
        threads.add(
            new Thread(
                () -> {
                  for (int i = 0; i < 300; i++) {
                    uploads.write(to, number(1000 * own + i, 40));
                  }
                }));
      }
      threads.forEach(Thread::start);
      for (Thread thread : threads) {
        thread.join();
      }
      for (int t = 0; t < 3; t++) {
        int first = last.get(t).bytes(0, 160).asIntBuffer().get(0);
        assertEquals(1000 * (1000 * t + 299), first);
      }
      assertEquals(900, count("cuMemcpyHtoDAsync"));
    }
  }

  @Test
  void tensorsOfArraysTakeThisWay() {
    long waits = Tensor.waits();
    try (RecordingCopies recorded = new RecordingCopies(false, 1 << 12)) {
      try (Tensor floats = Tensor.of(DEVICE, new float[] {1, 2}, 1, 2);
          Tensor one = Tensor.of(DEVICE, 0.1);
          Tensor ints = Tensor.ofInts(DEVICE, new int[] {3, -4});
          Tensor indices = Tensor.ofIndices(DEVICE, new int[] {5, 6, 7});
          Tensor none = Tensor.ofIndices(DEVICE, new int[0]);
          Tensor host = Tensor.ofInts(Device.CPU, new int[] {8})) {
        assertEquals(4, recorded.count("cuMemcpyHtoDAsync"));
        assertEquals(waits, Tensor.waits());
        assertArrayEquals(new float[] {1, 2}, floats.toFloats());
        assertEquals(0.1, one.item());
        assertEquals(waits + 2, Tensor.waits());
        assertEquals(-4, ints.bytes(4, 4).getInt());
        assertEquals(7, indices.bytes(16, 8).getLong());
        assertEquals(0, none.numel());
        assertEquals(8, host.bytes(0, 4).getInt());
        assertEquals(List.of(DEVICE, DEVICE), List.of(floats.device(), indices.device()));
      }
      assertEquals(1, recorded.held());
    }
    try (Tensor without = Tensor.ofInts(DEVICE, new int[] {3})) {
      assertEquals(3, without.bytes(0, 4).getInt());
    }
  }
}
