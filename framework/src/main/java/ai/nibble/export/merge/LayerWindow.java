package ai.nibble.export.merge;

import ai.nibble.model.ModelConfig;
import ai.nibble.model.WeightSource;
import ai.nibble.model.WeightView;
import ai.nibble.tensor.DType;
import java.util.Arrays;
import java.util.LinkedHashSet;
import java.util.Set;

/**
 * One layer of a model as a model of its own, whose embedding is the hidden state that enters the
 * layer: token i looks up the state of position i. So a model that does not fit into memory is
 * computed layer by layer, by the same code that computes it whole. The last layer goes with some
 * rows of the output head.
 *
 * <p>This needs an architecture whose embedding is a plain look-up and whose layers differ in
 * nothing but their weights and how they attend ({@link ModelConfig#oneLayer}).
 */
final class LayerWindow extends WeightView {
  private static final String LAYERS = "model.layers.";
  private static final String FIRST = LAYERS + "0.";
  private static final String FINAL_NORM = "model.norm.weight";

  private final String prefix;
  private final float[] hidden;
  private final long headBegin;
  private final int rows;
  private final ModelConfig config;
  private final Set<String> names = new LinkedHashSet<>();

  /**
   * @param layer which
   * @param hidden {@code [positions, hidden]}
   * @param headBegin first row of the output head; negative for no head
   * @param headRows rows of the head, read as the window's; 0 for no head
   */
  LayerWindow(WeightSource base, int layer, float[] hidden, long headBegin, int headRows) {
    super(base);
    this.prefix = LAYERS + layer + ".";
    this.hidden = hidden;
    this.headBegin = headBegin;
    this.rows = Math.max(headRows, hidden.length / base.config().hiddenSize());
    this.config = base.config().oneLayer(layer, rows, headBegin < 0);
    names.add(AdapterUpdates.EMBEDDING);
    base.names().stream()
        .filter(name -> name.startsWith(prefix))
        .forEach(name -> names.add(FIRST + name.substring(prefix.length())));
    names.add(FINAL_NORM);
    if (headBegin >= 0) {
      names.add(AdapterUpdates.HEAD);
    }
  }

  /** A module of the window as the whole model calls it. */
  String path(String modulePath) {
    return original(modulePath);
  }

  private String original(String name) {
    return name.startsWith(FIRST) ? prefix + name.substring(FIRST.length()) : name;
  }

  @Override
  public ModelConfig config() {
    return config;
  }

  @Override
  public Set<String> names() {
    return names;
  }

  @Override
  public long[] shape(String name) {
    boolean table = name.equals(AdapterUpdates.EMBEDDING) || name.equals(AdapterUpdates.HEAD);
    return table ? new long[] {rows, config.hiddenSize()} : base.shape(original(name));
  }

  @Override
  public DType dtype(String name) {
    return name.equals(AdapterUpdates.EMBEDDING) ? DType.FLOAT32 : base.dtype(original(name));
  }

  @Override
  public DType heldDtype(String name) {
    return name.equals(AdapterUpdates.EMBEDDING) ? DType.FLOAT32 : base.heldDtype(original(name));
  }

  @Override
  public void read(String name, long firstElement, float[] out, int offset, int count) {
    if (name.equals(AdapterUpdates.EMBEDDING)) {
      table(hidden, firstElement, out, offset, count);
    } else if (name.equals(AdapterUpdates.HEAD)) {
      long width = config.hiddenSize();
      long[] head = base.shape(name);
      long begin = headBegin * width + firstElement;
      int there = (int) Math.max(0, Math.min(count, head[0] * width - begin));
      if (there > 0) {
        base.read(name, begin, out, offset, there);
      }
      Arrays.fill(out, offset + there, offset + count, 0);
    } else {
      base.read(original(name), firstElement, out, offset, count);
    }
  }

  /** Elements of an array, and zeros behind its end. */
  private static void table(float[] values, long first, float[] out, int offset, int count) {
    int there = (int) Math.max(0, Math.min(count, values.length - first));
    if (there > 0) {
      System.arraycopy(values, (int) first, out, offset, there);
    }
    Arrays.fill(out, offset + there, offset + count, 0);
  }
}
