package ai.nibble.train.objective;

import static org.junit.jupiter.api.Assertions.assertEquals;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.nibble.autograd.EngineSegment;
import ai.nibble.autograd.Tape;
import ai.nibble.autograd.Variable;
import ai.nibble.data.Batch;
import ai.nibble.data.Example;
import ai.nibble.model.CausalLm;
import ai.nibble.model.Checkpointing;
import ai.nibble.model.LoadOptions;
import ai.nibble.nn.Pass;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.NdArrays;
import ai.nibble.tensor.Tensor;
import java.net.URISyntaxException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** A loss of the engine's on the model's logits is as good as the one written by hand. */
class EngineObjectiveTest {
  private static final Batch BATCH =
      Batch.of(
          List.of(
              new Example(new int[] {7, 8, 9, 10}, new int[] {-100, 8, 9, 10}),
              new Example(new int[] {52, 3, 4, 5, 6}, new int[] {-100, -100, 4, 5, -100})));

  /** Cross-entropy again, in the engine's operations. */
  private static final Objective CROSS_ENTROPY =
      (tape, model, batch, pass, normalizer, checkpointing) -> {
        long[] targets = Arrays.stream(batch.targets()).asLongStream().toArray();
        try (Variable hidden = model.hidden(tape, batch.inputIds(), pass, checkpointing);
            Variable logits = model.logits(tape, hidden, pass, batch.lossPositions())) {
          EngineSegment segment =
              new EngineSegment(
                  in -> {
                    NDArray logProbs = in.head().logSoftmax(1);
                    NDArray index = in.head().getManager().create(targets).reshape(-1, 1);
                    return new NDList(
                        logProbs
                            .gather(index, 1)
                            .sum()
                            .div(NdArrays.scalar(logProbs, -normalizer))
                            .reshape(1));
                  });
          Variable value = tape.apply(segment, logits);
          return new CausalLm.Loss(value, value.value().toFloats()[0] * normalizer);
        }
      };

  private static Path model(String name) {
    try {
      return Path.of(
              CausalLm.class.getResource("/ai/nibble/train/full/" + name + "/config.json").toURI())
          .getParent();
    } catch (URISyntaxException e) {
      throw new IllegalStateException(e);
    }
  }

  private record Result(double sum, float[] gradients) {}

  private static Result run(CausalLm model, Objective objective, Checkpointing checkpointing) {
    model.parameters().orElseThrow().grads().zero();
    Pass pass = new Pass(BATCH.sequenceStarts(), true, 1);
    try (Tape tape = Tape.recording()) {
      CausalLm.Loss loss = objective.loss(tape, model, BATCH, pass, 7, checkpointing);
      tape.backward(loss.value(), Tensor.of(new float[] {1}, 1));
      return new Result(loss.sum(), model.parameters().orElseThrow().grads().toFloats());
    }
  }

  /** float32: the two differ by roundings of 6e-8 each, some hundred of them. */
  @ParameterizedTest
  @CsvSource({"tied, NONE", "tied, BLOCK", "biases, SELECTIVE"})
  void everyWeightGetsTheGradientOfTheLossWrittenByHand(String name, Checkpointing checkpointing) {
    long live = Tensor.live();
    try (CausalLm model = CausalLm.load(model(name), LoadOptions.trained(DType.FLOAT32))) {
      Result byHand = run(model, new SupervisedFineTuning(), checkpointing);
      Result byEngine = run(model, CROSS_ENTROPY, checkpointing);
      assertEquals(byHand.sum(), byEngine.sum(), 1e-5 * byHand.sum());
      double scale = 0;
      for (float g : byHand.gradients()) {
        scale = Math.max(scale, Math.abs(g));
      }
      for (int i = 0; i < byHand.gradients().length; i++) {
        assertEquals(byHand.gradients()[i], byEngine.gradients()[i], 1e-5 * scale, "weight " + i);
      }
    }
    assertEquals(live, Tensor.live());
  }

  @ParameterizedTest
  @CsvSource({"FLOAT32", "BFLOAT16"})
  void logitsOnATapeAreTheLogitsOfInference(DType compute) {
    Pass pass = Pass.evaluating(BATCH.sequenceStarts());
    int[] positions = BATCH.lossPositions();
    try (CausalLm model = CausalLm.load(model("biases"), LoadOptions.unquantized(compute));
        Tensor expected = model.logits(BATCH.inputIds(), pass, positions);
        Tape tape = Tape.recording()) {
      Variable hidden = model.hidden(tape, BATCH.inputIds(), pass, Checkpointing.NONE);
      Variable logits = model.logits(tape, hidden, pass, positions);
      assertEquals(DType.FLOAT32, logits.value().dtype());
      assertEquals(
          Arrays.toString(expected.toFloats()), Arrays.toString(logits.value().toFloats()));
    }
  }
}
