package ai.nibble.export.merge;

import ai.nibble.autograd.Tape;
import ai.nibble.autograd.Variable;
import ai.nibble.model.CausalLm;
import ai.nibble.model.Checkpointing;
import ai.nibble.model.LoadOptions;
import ai.nibble.model.WeightSource;
import ai.nibble.nn.LowRank;
import ai.nibble.nn.Parameter;
import ai.nibble.nn.ParameterSet;
import ai.nibble.nn.Pass;
import ai.nibble.quant.Quant4Config;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Device;
import ai.nibble.tensor.Scope;
import ai.nibble.tensor.Tensor;
import java.nio.FloatBuffer;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** Computes a model's logits in float32 with one layer in memory at a time. */
final class LayerwiseLogits {
  /** Rows of the output head in memory at a time. */
  private static final int HEAD_ROWS = 1 << 13;

  private final WeightSource source;
  private final Path place;
  private final LoadOptions options;
  private final AdapterUpdates adapters;

  /**
   * @param place for messages
   * @param quantization how the linears are held
   * @param adapters whose products are put on the linears; null for none
   * @param device where a layer is computed
   */
  LayerwiseLogits(
      WeightSource source,
      Path place,
      Optional<Quant4Config> quantization,
      AdapterUpdates adapters,
      Device device) {
    this.source = source;
    this.place = place;
    this.options = new LoadOptions(quantization, DType.FLOAT32, false, device);
    this.adapters = adapters;
  }

  /**
   * Logits of all positions of some prompts.
   *
   * @return {@code [positions, vocabulary]}, row-major, prompt after prompt
   */
  float[] compute(List<int[]> prompts) {
    int[] starts = new int[prompts.size() + 1];
    for (int i = 0; i < prompts.size(); i++) {
      starts[i + 1] = starts[i] + prompts.get(i).length;
    }
    Pass pass = Pass.evaluating(starts);
    int layers = source.config().numHiddenLayers();
    float[] hidden = embedded(prompts, pass.tokens());
    for (int layer = 0; layer < layers - 1; layer++) {
      hidden = throughLayer(layer, hidden, pass);
    }
    return throughLastLayer(layers - 1, hidden, pass);
  }

  private float[] embedded(List<int[]> prompts, int positions) {
    int width = source.config().hiddenSize();
    float[] hidden = new float[Math.multiplyExact(positions, width)];
    int at = 0;
    for (int[] prompt : prompts) {
      for (int id : prompt) {
        source.readHeld(AdapterUpdates.EMBEDDING, (long) id * width, hidden, at, width);
        at += width;
      }
    }
    return hidden;
  }

  private float[] throughLayer(int layer, float[] hidden, Pass pass) {
    try (LayerWindow window = new LayerWindow(source, layer, hidden, -1, 0);
        Scope scope = new Scope()) {
      CausalLm model = load(window, scope);
      try (Tape tape = Tape.inference();
          Variable out = model.hidden(tape, ids(pass), pass, Checkpointing.NONE)) {
        return out.value().toFloats();
      }
    }
  }

  private float[] throughLastLayer(int layer, float[] hidden, Pass pass) {
    int vocabulary = source.config().vocabSize();
    float[] logits = new float[Math.multiplyExact(pass.tokens(), vocabulary)];
    for (int begin = 0; begin < vocabulary; begin += HEAD_ROWS) {
      int rows = Math.min(HEAD_ROWS, vocabulary - begin);
      try (LayerWindow window = new LayerWindow(source, layer, hidden, begin, rows);
          Scope scope = new Scope()) {
        CausalLm model = load(window, scope);
        try (Tensor part = model.logits(ids(pass), pass, ids(pass))) {
          float[] values = part.toFloats();
          int width = Math.toIntExact(part.size(1));
          for (int p = 0; p < pass.tokens(); p++) {
            System.arraycopy(values, p * width, logits, p * vocabulary + begin, rows);
          }
        }
      }
    }
    return logits;
  }

  /** Token i of a window is position i. */
  private static int[] ids(Pass pass) {
    int[] ids = new int[pass.tokens()];
    Arrays.setAll(ids, i -> i);
    return ids;
  }

  private CausalLm load(LayerWindow window, Scope scope) {
    CausalLm model = scope.own(CausalLm.load(window, place, options, (done, total) -> {}));
    if (adapters == null) {
      return model;
    }
    model
        .linears()
        .forEach(
            (path, linear) -> {
              String name = window.path(path) + ".weight";
              if (adapters.hasProduct(name)) {
                linear.attach(lowRank(adapters.update(name), path, scope));
              }
            });
    return model;
  }

  /**
   * With a gain, {@code gain ⊙ (W + b·a) = gain ⊙ W + (gain ⊙ b)·a}: the first is in the weight.
   */
  private LowRank lowRank(LowRankUpdate update, String path, Scope scope) {
    int rank = update.rank();
    long out = update.b().length / rank;
    Map<String, long[]> shapes = new LinkedHashMap<>();
    shapes.put(path + ".a", new long[] {rank, update.width()});
    shapes.put(path + ".b", new long[] {out, rank});
    ParameterSet parameters = scope.own(new ParameterSet(shapes, options.device()));
    Parameter a = parameters.get(path + ".a");
    Parameter b = parameters.get(path + ".b");
    a.value().setFloats(FloatBuffer.wrap(update.a()));
    float[] scaled = update.b().clone();
    if (update.gain() != null) {
      for (int i = 0; i < scaled.length; i++) {
        scaled[i] *= update.gain()[i / rank];
      }
    }
    b.value().setFloats(FloatBuffer.wrap(scaled));
    return new LowRank(a, b, 1, 0);
  }
}
