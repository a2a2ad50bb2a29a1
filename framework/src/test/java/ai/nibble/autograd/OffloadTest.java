package ai.nibble.autograd;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.nn.Residual;
import ai.nibble.tensor.Device;
import ai.nibble.tensor.Ops;
import ai.nibble.tensor.RecordingCopies;
import ai.nibble.tensor.Tensor;
import ai.nibble.tensor.TensorMemory;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What is kept on the host comes back to the bit, when it is read and not long before. */
class OffloadTest {
  private static final int PARTS = 7;
  private static final int ELEMENTS = 1 << 18; // sizes that are not rounded
  private static final long BYTES = 4L * ELEMENTS;

  /** {@code x²}, which saves x. */
  private static final class Square extends Function {
    private Tensor x;

    @Override
    protected Tensor[] forward(Tensor[] inputs) {
      x = save(inputs[0]);
      Tensor y = Tensor.empty(inputs[0].dtype(), inputs[0].shape());
      return new Tensor[] {Ops.mul(y, inputs[0], inputs[0])};
    }

    @Override
    protected void backward(Tensor[] gradOutputs, Gradients gradients) {
      try (Tensor once = Tensor.empty(x.dtype(), x.shape())) {
        Ops.mul(once, gradOutputs[0], x);
        gradients.add(0, Ops.add(once, once, 1));
      }
    }
  }

  /** {@code x² + x}, of which the square is kept. */
  private static Variable part(Tape tape, Variable x, Recall recall) {
    try (Variable square = recall.kept(earlier -> squared(tape, x, earlier))) {
      return recall.unread(earlier -> tape.apply(new Residual(earlier), square, x));
    }
  }

  private static Variable squared(Tape tape, Variable x, Earlier earlier) {
    Tensor known = earlier.output(Device.CPU, x.value().dtype(), x.value().shape());
    if (known != null) {
      known.close(); // computed again all the same, but it has to be there
      assertTrue(tape.isRecording());
    }
    return tape.apply(new Square(), x);
  }

  private static Tensor start() {
    float[] values = new float[ELEMENTS];
    for (int i = 0; i < ELEMENTS; i++) {
      values[i] = (float) Math.sin(i) / 3;
    }
    return Tensor.of(values, ELEMENTS);
  }

  /** The gradient of the sum of the last part by the first one's input. */
  private static float[] gradient(Optional<Offload> offload, long[] kept) {
    long before = TensorMemory.heldBytes(Device.Type.CPU);
    try (Tape tape = Tape.recording()) {
      Variable first = tape.leaf(start());
      Variable x = forward(tape, first, offload);
      kept[0] = TensorMemory.heldBytes(Device.Type.CPU) - before;
      float[] ones = new float[ELEMENTS];
      java.util.Arrays.fill(ones, 1);
      tape.backward(x, Tensor.of(ones, ELEMENTS));
      try (Tensor gradient = tape.takeGradient(first)) {
        return gradient.toFloats();
      }
    }
  }

  private static Variable forward(Tape tape, Variable first, Optional<Offload> offload) {
    Variable x = first;
    for (int i = 0; i < PARTS; i++) {
      Variable next =
          tape.apply(new Checkpoint((inner, in, recall) -> part(inner, in[0], recall), offload), x);
      if (x != first) {
        x.close();
      }
      x = next;
    }
    return x;
  }

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void gradientsHaveTheBitsOfThoseWithout(boolean eager) {
    long[] kept = new long[1];
    float[] expected = gradient(Optional.empty(), kept);
    // each part's input and square, the first input and the last output
    assertEquals((2 * PARTS + 1) * BYTES, kept[0]);
    try (RecordingCopies recorded = new RecordingCopies(eager)) {
      long live = Tensor.live();
      try (Offload offload = new Offload()) {
        for (int run = 0; run < 2; run++) {
          assertArrayEquals(expected, gradient(Optional.of(offload), kept));
          // of the parts two, the leaf that stays the test's, the last output
          assertEquals((2 * 2 + 2) * BYTES, kept[0]);
          assertEquals(2L * PARTS * (run + 1), recorded.count("cuMemcpyDtoHAsync"));
          // two are still there when backward begins
          assertEquals(2L * (PARTS - 2) * (run + 1), recorded.count("cuMemcpyHtoDAsync"));
          assertEquals(2L * PARTS, recorded.count("cuMemHostAlloc"), "the second run's are there");
        }
      }
      assertEquals(live, Tensor.live());
      assertEquals(0, recorded.held());
      assertEquals(1, recorded.count("cuEventSynchronize"), "the host waits at the end alone");
    }
  }

  /** One that is read, one that comes: never more. */
  @Test
  void backwardHoldsTwoPartsAtATime() {
    long[] kept = new long[1];
    try (RecordingCopies recorded = new RecordingCopies(true);
        Offload offload = new Offload()) {
      gradient(Optional.of(offload), kept);
      long before = TensorMemory.heldBytes(Device.Type.CPU);
      TensorMemory.forgetPeak(Device.Type.CPU);
      gradient(Optional.of(offload), kept);
      long peak = TensorMemory.peakBytes(Device.Type.CPU) - before;
      // leaf, last output, two parts' two tensors; of a part that runs again its square, output and
      // gradients: at most four
      assertTrue(peak <= (2 + 4 + 4) * BYTES, peak / (double) BYTES + " tensors");
      assertTrue(recorded.held() > 0);
    }
  }

  @Test
  void aStepThatEndsBeforeBackwardGivesAllBack() {
    try (RecordingCopies recorded = new RecordingCopies(false)) {
      long live = Tensor.live();
      try (Offload offload = new Offload()) {
        try (Tape tape = Tape.recording()) {
          forward(tape, tape.leaf(start()), Optional.of(offload));
        }
        assertEquals(live, Tensor.live());
        float[] after = gradient(Optional.of(offload), new long[1]);
        assertArrayEquals(gradient(Optional.empty(), new long[1]), after);
      }
      assertEquals(0, recorded.held());
    }
  }

  @Test
  void takingInAnotherOrderIsRefused() {
    try (RecordingCopies recorded = new RecordingCopies(false);
        Offload offload = new Offload()) {
      Offload.Parcel first = offload.put(java.util.List.of(start()));
      Offload.Parcel second = offload.put(java.util.List.of(start()));
      assertThrows(IllegalStateException.class, first::take);
      second.close();
      first.take().forEach(Tensor::close);
      assertEquals(2, recorded.held());
    }
  }
}
