package ai.nibble.export.merge;

import ai.nibble.lora.StoredAdapter;
import ai.nibble.model.Current;
import ai.nibble.model.ModelConfig;
import ai.nibble.model.WeightSource;
import ai.nibble.model.WeightView;
import ai.nibble.tensor.DType;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;

/** A base's weights with adapters' updates, float32 where they changed. */
public final class MergedWeights extends WeightView {
  /** What of the updates is in the weights. */
  enum Part {
    /** All of it. */
    WHOLE,
    /** All but the products B·A, which somebody puts on the linears as adapters. */
    WITHOUT_PRODUCTS
  }

  private final AdapterUpdates updates;
  private final Part part;
  private final Set<String> names;
  private final Current<LowRankUpdate> current;

  /**
   * A base with one adapter in it.
   *
   * @param base stays the caller's, as the adapter does
   */
  public static MergedWeights of(WeightSource base, StoredAdapter adapter) {
    AdapterUpdates updates = new AdapterUpdates(List.of(new MergedAdapter(adapter, 1)), base);
    return new MergedWeights(base, updates, Part.WHOLE);
  }

  /**
   * @param base stays the caller's
   */
  MergedWeights(WeightSource base, AdapterUpdates updates, Part part) {
    super(base);
    this.updates = updates;
    this.part = part;
    this.names = new LinkedHashSet<>(base.names());
    if (updates.unties()) {
      names.add(AdapterUpdates.HEAD);
    }
    this.current = new Current<>(updates::update);
  }

  @Override
  public ModelConfig config() {
    return updates.unties() ? base.config().withTieWordEmbeddings(false) : base.config();
  }

  @Override
  public Set<String> names() {
    return names;
  }

  /** Whether a tensor is computed here rather than the base's. */
  public boolean changes(String name) {
    boolean onlyProduct =
        part == Part.WITHOUT_PRODUCTS
            && updates.hasProduct(name)
            && !updates.isDora()
            && !isTable(name);
    return updates.changes(name) && !onlyProduct;
  }

  private static boolean isTable(String name) {
    return name.equals(AdapterUpdates.EMBEDDING) || name.equals(AdapterUpdates.HEAD);
  }

  @Override
  public DType dtype(String name) {
    return changes(name) ? DType.FLOAT32 : base.dtype(name);
  }

  @Override
  public DType heldDtype(String name) {
    return changes(name) ? DType.FLOAT32 : base.heldDtype(name);
  }

  @Override
  public void read(String name, long firstElement, float[] out, int offset, int count) {
    MergedAdapter replacing = updates.replacing(name).orElse(null);
    if (replacing != null) {
      replacing.stored().readReplacement(name, firstElement, out, offset, count);
    } else {
      base.read(name, firstElement, out, offset, count);
      updates.replaceRows(name, firstElement, out, offset, count);
    }
    updates.addBias(name, firstElement, out, offset, count);
    if (updates.hasProduct(name) && changes(name)) {
      current.use(
          name,
          update -> {
            // who puts products on the linears leaves these two: theirs are always in the weight
            if (part == Part.WHOLE || isTable(name)) {
              update.addTo(firstElement, out, offset, count);
            }
            update.scale(firstElement, out, offset, count);
          });
    }
  }

  @Override
  public void close() {
    current.close();
  }
}
