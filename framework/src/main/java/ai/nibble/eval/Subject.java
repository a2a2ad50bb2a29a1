package ai.nibble.eval;

import ai.nibble.InvalidInputException;
import ai.nibble.lora.AdapterStore;
import ai.nibble.lora.LoraAdapter;
import ai.nibble.model.CausalLm;
import ai.nibble.model.LoadOptions;
import ai.nibble.model.Placement;
import ai.nibble.model.WeightSource;
import ai.nibble.nn.Pass;
import ai.nibble.plan.ForwardPlan;
import ai.nibble.quant.QuantConfig;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Scope;
import java.util.Optional;
import java.util.function.Consumer;

/**
 * The model that is evaluated, loaded. Closes what it loaded, not the text's tokenizer.
 *
 * @param text how it reads and writes
 * @param batchTokens tokens computed at once, unless a single item has more
 * @param loadSeconds wall-clock time to read the weights and quantise them
 */
public record Subject(
    ModelText text, CausalLm model, int batchTokens, double loadSeconds, Scope owned)
    implements AutoCloseable {

  /**
   * Loads a variant's weights, and its adapter if it has one.
   *
   * @param notes takes a line for everything ignored or chosen on the way
   */
  public static Subject load(
      Variant variant, ModelText text, int batchTokens, Consumer<String> notes) {
    Scope scope = new Scope();
    try {
      long start = System.nanoTime();
      CausalLm model = scope.own(weights(variant, batchTokens, notes));
      Optional<LoraAdapter> adapter = variant.adapter().map(a -> AdapterStore.load(model, a));
      adapter.ifPresent(scope::own);
      double seconds = (System.nanoTime() - start) / 1e9;
      return new Subject(text, model, batchTokens, seconds, scope);
    } catch (RuntimeException e) {
      scope.close();
      throw e;
    }
  }

  private static CausalLm weights(Variant variant, int tokens, Consumer<String> notes) {
    try (WeightSource source = WeightSource.open(variant.base(), notes)) {
      Optional<QuantConfig> held = source.settle(variant.quantization(), notes);
      DType compute = variant.computeDtype();
      Placement placement =
          ForwardPlan.place(source, held, compute, tokens, variant.devices(), notes);
      LoadOptions options = new LoadOptions(held, compute, false, placement);
      return CausalLm.load(source, variant.base(), options, (done, total) -> {});
    }
  }

  /**
   * Tokens computed at once, unless a single text has more; where what stands beside a text would
   * move its score, one, so that every text is computed by itself.
   */
  @Override
  public int batchTokens() {
    return scoresApart() ? 1 : batchTokens;
  }

  /** Whether every text has to be computed by itself for its score to be its own. */
  boolean scoresApart() {
    return !model.rowsAreIndependent();
  }

  /**
   * As {@link CausalLm#logLikelihoods}.
   *
   * @throws InvalidInputException if one is not a number: nothing could be said of such a model
   */
  double[] logLikelihoods(int[] inputIds, Pass pass, int[] positions, int[] targets) {
    double[] all = model.logLikelihoods(inputIds, pass, positions, targets);
    for (double each : all) {
      if (!Double.isFinite(each)) {
        throw new InvalidInputException(
            "the model gives a token the log-likelihood "
                + each
                + ", expected a finite number: its weights or its adapter are damaged");
      }
    }
    return all;
  }

  @Override
  public void close() {
    owned.close();
  }
}
