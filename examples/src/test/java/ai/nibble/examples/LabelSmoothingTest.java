package ai.nibble.examples;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.autograd.Tape;
import ai.nibble.data.Batch;
import ai.nibble.data.Example;
import ai.nibble.model.CausalLm;
import ai.nibble.model.Checkpointing;
import ai.nibble.model.LoadOptions;
import ai.nibble.nn.Pass;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Tensor;
import ai.nibble.train.objective.Objective;
import ai.nibble.train.objective.SupervisedFineTuning;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class LabelSmoothingTest {
  private static final int VOCABULARY = 2048;
  private static final Batch BATCH =
      Batch.of(
          List.of(
              new Example(new int[] {300, 301, 302, 303}, new int[] {-100, 301, 302, 303}),
              new Example(new int[] {900, 3, 77, 5}, new int[] {-100, -100, 77, 5})));

  @TempDir Path temp;

  @Test
  void theLossIsTheFormulas() throws Exception {
    double smoothing = 0.2;
    Pass pass = Pass.evaluating(BATCH.sequenceStarts());
    int[] targets = BATCH.targets();
    try (CausalLm model =
            CausalLm.load(TinyBase.write(temp), LoadOptions.unquantized(DType.FLOAT32));
        Tensor logits = model.logits(BATCH.inputIds(), pass, BATCH.lossPositions());
        Tape tape = Tape.inference()) {
      double expected = 0;
      float[] values = logits.toFloats();
      for (int i = 0; i < targets.length; i++) {
        double sumOfExps = 0;
        double sum = 0;
        for (int c = 0; c < VOCABULARY; c++) {
          sumOfExps += Math.exp(values[i * VOCABULARY + c]);
          sum += values[i * VOCABULARY + c];
        }
        double mean = sum / VOCABULARY;
        double right = values[i * VOCABULARY + targets[i]];
        expected += Math.log(sumOfExps) - (1 - smoothing) * right - smoothing * mean;
      }
      CausalLm.Loss loss =
          new LabelSmoothing(smoothing).loss(tape, model, BATCH, pass, 5, Checkpointing.NONE);
      // float32 keeps 24 bits; sums of five terms
      assertEquals(expected, loss.sum(), 1e-5 * expected);
      assertEquals(expected / 5, loss.value().value().toFloats()[0], 1e-5 * expected);
    }
  }

  /** The engine's gradient and the hand-written one meet where the two losses are one. */
  @Test
  void withoutSmoothingEveryWeightGetsTheGradientOfCrossEntropy() throws Exception {
    Path base = TinyBase.write(temp);
    long live = Tensor.live();
    try (CausalLm model = CausalLm.load(base, LoadOptions.trained(DType.FLOAT32))) {
      float[] expected = gradient(model, new SupervisedFineTuning());
      float[] seen = gradient(model, new LabelSmoothing(0));
      double error = QuantizeOneMatrix.relativeError(expected, seen);
      assertEquals(0, error, 1e-5); // roundings of 6e-8 each
      double other = QuantizeOneMatrix.relativeError(expected, gradient(model, smoothed()));
      assertTrue(other > 0.05, "smoothing changes the gradient, by " + other);
    }
    assertEquals(live, Tensor.live());
  }

  private static Objective smoothed() {
    return new LabelSmoothing(0.2);
  }

  private static float[] gradient(CausalLm model, Objective objective) {
    model.parameters().orElseThrow().grads().zero();
    Pass pass = Pass.evaluating(BATCH.sequenceStarts());
    try (Tape tape = Tape.recording()) {
      CausalLm.Loss loss = objective.loss(tape, model, BATCH, pass, 5, Checkpointing.NONE);
      tape.backward(loss.value(), Tensor.of(new float[] {1}, 1));
      return model.parameters().orElseThrow().grads().toFloats();
    }
  }

  @Test
  void aLoopOnItLearns() throws Exception {
    Path base = TinyBase.write(temp);
    Path out = temp.resolve("out");
    double[] losses = CustomLoop.train(base, TinyBase.rows(temp), new LabelSmoothing(0.1), 20, out);
    assertTrue(losses[19] < losses[0] - 1, losses[0] + " to " + losses[19]);
  }

  @Test
  void aShareOutsideItsRangeIsRefused() {
    assertThrows(IllegalArgumentException.class, () -> new LabelSmoothing(1));
    assertThrows(IllegalArgumentException.class, () -> new LabelSmoothing(Double.NaN));
  }
}
