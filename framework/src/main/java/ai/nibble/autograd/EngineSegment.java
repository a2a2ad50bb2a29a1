package ai.nibble.autograd;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import ai.nibble.tensor.NdArrays;
import ai.nibble.tensor.Tensor;
import java.util.ArrayList;
import java.util.List;
import java.util.function.UnaryOperator;

/**
 * Any expression of DJL's NDArray operations as a function on the tape, differentiated by the
 * engine's own autograd: for custom losses and new layers, before anyone writes a backward by hand.
 * What the engine keeps for backward stays alive until then, but for a number that DJL multiplies
 * or divides by, or raises to: write {@code x.mul(NdArrays.scalar(x, 2))}, never {@code x.mul(2)}.
 */
public final class EngineSegment extends Function {
  private final UnaryOperator<NDList> expression;
  private List<NDArray> leaves;
  private NDArray output;

  /**
   * @param expression from one array an input, in their order, to a list with one array that
   *     depends on every floating-point input
   */
  public EngineSegment(UnaryOperator<NDList> expression) {
    this.expression = expression;
  }

  @Override
  protected Tensor[] forward(Tensor[] inputs) {
    NDManager manager = keep(NdArrays.newManager());
    leaves = new ArrayList<>();
    NDList arguments = new NDList();
    for (Tensor input : inputs) {
      boolean tracked = isRecording() && input.dtype().isFloatingPoint();
      NDArray array =
          tracked ? NdArrays.toLeaf(input, manager) : NdArrays.toNdArray(input, manager);
      leaves.add(tracked ? array : null);
      arguments.add(array);
    }
    NDList results =
        isRecording()
            ? NdArrays.recording(() -> expression.apply(arguments))
            : expression.apply(arguments);
    output = results.singletonOrThrow();
    return new Tensor[] {NdArrays.toDetachedTensor(output)};
  }

  @Override
  protected void backward(Tensor[] gradOutputs, Gradients gradients) {
    List<NDArray> tracked = leaves.stream().filter(leaf -> leaf != null).toList();
    List<Tensor> results = NdArrays.backward(output, gradOutputs[0], tracked);
    int next = 0;
    for (int i = 0; i < leaves.size(); i++) {
      if (leaves.get(i) != null) {
        gradients.add(i, results.get(next++));
      }
    }
  }
}
