package ai.nibble.export.merge;

import ai.nibble.InvalidInputException;
import ai.nibble.model.WeightSource;
import ai.nibble.tensor.Parallel;
import ai.nibble.tensor.Rows;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;

/**
 * What several adapters together do to a base's tensors: {@code W + Σᵢ weightᵢ · scalingᵢ · Bᵢ·Aᵢ},
 * the exact sum of their updates, which PEFT calls the combination {@code cat}. What is not a sum,
 * DoRA's magnitudes, modules that were trained whole and rows of tokens, is taken from one adapter
 * of weight 1.
 */
final class AdapterUpdates {
  static final String EMBEDDING = "model.embed_tokens.weight";
  static final String HEAD = "lm_head.weight";

  private static final String WEIGHT = ".weight";
  private static final String BIAS = ".bias";

  private final List<MergedAdapter> adapters;
  private final WeightSource base;
  private final Map<String, List<TokenRows>> rows = new HashMap<>();
  private final Map<String, float[]> gains = new ConcurrentHashMap<>();

  /**
   * @param base as training held it
   * @throws InvalidInputException if the adapters cannot be combined
   */
  AdapterUpdates(List<MergedAdapter> adapters, WeightSource base) {
    this.adapters = List.copyOf(adapters);
    this.base = base;
    List<String> problems = new ArrayList<>();
    for (MergedAdapter adapter : adapters) {
      String where = adapter.directory().toString();
      boolean alone = adapters.size() == 1;
      boolean undone = alone && adapter.undone().isPresent();
      if (adapter.extras().useDora() && !undone && (!alone || adapter.weight() != 1)) {
        problems.add(
            where
                + ": is a DoRA adapter, whose update is no sum: "
                + (adapter.undone().isPresent()
                    ? "take it out alone"
                    : "merge it alone and with weight 1"));
      }
      if (!adapter.replaced().isEmpty() && adapter.weight() != 1) {
        problems.add(
            where
                + ": holds tensors trained whole, such as '"
                + adapter.replaced().iterator().next()
                + "', which replace the base's: give it weight 1 instead of "
                + adapter.weight());
      }
    }
    adapters.forEach(adapter -> takeRows(adapter, problems));
    Set<String> replaced = new LinkedHashSet<>();
    for (MergedAdapter adapter : adapters) {
      for (String name : adapter.replaced()) {
        String module = module(name);
        boolean adapted = adapters.stream().anyMatch(a -> a.modules().contains(module));
        if (!replaced.add(name) || (adapted && name.endsWith(WEIGHT))) {
          problems.add(
              adapter.directory()
                  + ": replaces '"
                  + name
                  + "', which another adapter changes too: merge only one of them");
        }
      }
    }
    if (!problems.isEmpty()) {
      throw new InvalidInputException(problems);
    }
  }

  private void takeRows(MergedAdapter adapter, List<String> problems) {
    adapter
        .stored()
        .tokens()
        .forEach(
            (path, ids) -> {
              String where = adapter.directory() + ": replaces rows of '" + path + "'";
              List<TokenRows> those = rows.computeIfAbsent(path + WEIGHT, p -> new ArrayList<>());
              if (adapter.weight() != 1) {
                problems.add(where + ": give it weight 1 instead of " + adapter.weight());
              }
              if (those.stream().anyMatch(other -> other.sharesWith(ids))) {
                problems.add(where + ", some of which another does too: merge only one of them");
              }
              those.add(new TokenRows(ids, adapter.stored().tokenRows(path)));
            });
  }

  /** The rows that are replaced in a tensor. */
  private List<TokenRows> rows(String name) {
    boolean tied = base.config().tieWordEmbeddings() && name.equals(HEAD);
    return rows.getOrDefault(tied ? EMBEDDING : name, List.of());
  }

  /** Replaces those elements of a tensor that are of replaced rows. */
  void replaceRows(String name, long first, float[] values, int offset, int count) {
    rows(name).forEach(those -> those.copyTo(first, values, offset, count));
  }

  private static String module(String name) {
    return name.substring(0, name.lastIndexOf('.'));
  }

  List<MergedAdapter> adapters() {
    return adapters;
  }

  /** The adapter that replaces a tensor. */
  Optional<MergedAdapter> replacing(String name) {
    return adapters.stream().filter(a -> a.replaced().contains(name)).findFirst();
  }

  /** Whether a tensor gets a sum of products. */
  boolean hasProduct(String name) {
    return name.endsWith(WEIGHT)
        && adapters.stream().anyMatch(a -> a.modules().contains(module(name)));
  }

  /** Whether a tensor is another one afterwards. */
  boolean changes(String name) {
    return changesAlone(name) || !rows(name).isEmpty() || addsToBias(name);
  }

  /** Whether a tensor changes in another way than one that it is tied to. */
  private boolean changesAlone(String name) {
    return hasProduct(name) || replacing(name).isPresent();
  }

  /** Whether rows of weights are scaled. */
  boolean isDora() {
    return adapters.stream().anyMatch(a -> a.extras().useDora());
  }

  /**
   * Whether embedding and output head part: one of two that were one tensor changes, or both do.
   */
  boolean unties() {
    return base.config().tieWordEmbeddings() && (changesAlone(EMBEDDING) || changesAlone(HEAD));
  }

  private boolean addsToBias(String name) {
    return name.endsWith(BIAS)
        && adapters.stream()
            .anyMatch(a -> a.extras().loraBias() && a.modules().contains(module(name)));
  }

  /** Adds what B's biases contribute to a bias of the base. */
  void addBias(String name, long first, float[] values, int offset, int count) {
    if (!addsToBias(name)) {
      return;
    }
    String module = module(name);
    for (MergedAdapter adapter : adapters) {
      if (adapter.extras().loraBias() && adapter.modules().contains(module)) {
        float[] bias = adapter.stored().loraBias(module);
        for (int i = 0; i < count; i++) {
          values[offset + i] += (float) (adapter.scaling(module) * bias[(int) first + i]);
        }
      }
    }
  }

  /**
   * The update of a weight, the adapters' matrices one after the other along the rank.
   *
   * @throws InvalidInputException if DoRA has to scale a row of zeros
   */
  LowRankUpdate update(String name) {
    String module = module(name);
    List<MergedAdapter> those =
        adapters.stream().filter(a -> a.modules().contains(module)).toList();
    long[] shape = base.shape(name);
    int out = Math.toIntExact(shape[0]);
    int in = Math.toIntExact(shape[1]);
    int rank = those.stream().mapToInt(a -> a.stored().rank(module)).sum();
    float[] a = new float[Math.multiplyExact(rank, in)];
    float[] b = new float[Math.multiplyExact(out, rank)];
    int at = 0;
    for (MergedAdapter adapter : those) {
      int r = adapter.stored().rank(module);
      System.arraycopy(adapter.stored().right(module), 0, a, at * in, r * in);
      float[] columns = adapter.stored().left(module);
      double scaling = adapter.scaling(module);
      for (int o = 0; o < out; o++) {
        for (int k = 0; k < r; k++) {
          b[o * rank + at + k] = (float) (scaling * columns[o * r + k]);
        }
      }
      at += r;
    }
    LowRankUpdate plain = new LowRankUpdate(rank, a, b, null);
    if (!isDora()) {
      return plain;
    }
    Optional<RowGains> undone = those.get(0).undone();
    if (undone.isPresent()) {
      return undo(plain, undone.get().of(name, out));
    }
    float[] gain = gains(name, plain, those.get(0).stored().magnitudes(module));
    gains.put(name, gain);
    return plain.withGain(gain);
  }

  /**
   * {@code W'/g − s·B·A} as a gain of a sum, {@code 1/g ⊙ (W' − g·s·B·A)}.
   *
   * @param subtracted {@code −s·B·A}
   */
  private static LowRankUpdate undo(LowRankUpdate subtracted, float[] gain) {
    float[] inverse = new float[gain.length];
    float[] b = subtracted.b().clone();
    for (int o = 0; o < gain.length; o++) {
      inverse[o] = 1 / gain[o];
      for (int k = 0; k < subtracted.rank(); k++) {
        b[o * subtracted.rank() + k] *= gain[o];
      }
    }
    return new LowRankUpdate(subtracted.rank(), subtracted.a(), b, inverse);
  }

  /** What rows of the weights that were read so far were multiplied by; empty without DoRA. */
  Optional<RowGains> gains() {
    return gains.isEmpty() ? Optional.empty() : Optional.of(new RowGains(gains));
  }

  /** DoRA's factor of each row: its magnitude over the norm of the row of W + s·B·A. */
  private float[] gains(String name, LowRankUpdate plain, float[] magnitudes) {
    int width = plain.width();
    float[] gains = new float[magnitudes.length];
    Parallel.forRanges(
        gains.length,
        Rows.grain(width),
        (begin, end) -> {
          float[] row = new float[width];
          for (int o = (int) begin; o < end; o++) {
            long first = (long) o * width;
            base.read(name, first, row, 0, width);
            plain.addTo(first, row, 0, width);
            double squares = 0;
            for (float v : row) {
              squares += (double) v * v;
            }
            if (squares == 0) {
              throw new InvalidInputException(
                  "'"
                      + name
                      + "' has only zeros in row "
                      + o
                      + ", which DoRA cannot scale to its magnitude: the adapter belongs to another"
                      + " base");
            }
            gains[o] = (float) (magnitudes[o] / Math.sqrt(squares));
          }
        });
    return gains;
  }
}
