package ai.nibble.lora;

import ai.nibble.InvalidInputException;
import ai.nibble.model.CausalLm;
import ai.nibble.nn.Linear;
import ai.nibble.nn.LowRank;
import ai.nibble.nn.Parameter;
import ai.nibble.nn.ParameterSet;
import ai.nibble.tensor.Tensor;
import java.nio.FloatBuffer;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * The sum {@code Σ weightᵢ · sᵢ · Bᵢ·Aᵢ} of several adapters as one: their matrices beside each
 * other, what PEFT calls the combination {@code cat}. Copies, of adapters as they are when it is
 * made; not to be trained.
 */
final class AdapterMix implements AutoCloseable {
  /**
   * An adapter in it.
   *
   * @param name for messages
   * @param weight factor of its update
   */
  record Part(String name, LoraAdapter adapter, double weight) {}

  private final CausalLm model;
  private final ParameterSet parameters;
  private final Map<String, LowRank> updates = new LinkedHashMap<>();

  /**
   * @throws InvalidInputException if an adapter is more than a sum of products
   */
  AdapterMix(CausalLm model, List<Part> parts) {
    this.model = model;
    parts.forEach(AdapterMix::requireSum);
    Map<String, Integer> ranks = new LinkedHashMap<>();
    for (String path : model.linears().keySet()) {
      int rank = parts.stream().mapToInt(part -> rank(part, path)).sum();
      if (rank > 0) {
        ranks.put(path, rank);
      }
    }
    Map<String, long[]> shapes = new LinkedHashMap<>();
    ranks.forEach(
        (path, rank) -> {
          Linear linear = model.linears().get(path);
          shapes.put(AdapterNames.loraA(path), new long[] {rank, linear.weight().inFeatures()});
          shapes.put(AdapterNames.loraB(path), new long[] {linear.weight().outFeatures(), rank});
        });
    this.parameters =
        ParameterSet.over(shapes, name -> AdapterNames.device(name, model.placement()));
    for (String path : ranks.keySet()) {
      Parameter a = parameters.get(AdapterNames.loraA(path));
      Parameter b = parameters.get(AdapterNames.loraB(path));
      fill(path, parts, a.value(), b.value());
      updates.put(path, new LowRank(a, b, 1, 0));
    }
  }

  private static void requireSum(Part part) {
    AdapterExtras extras = part.adapter.config().extras();
    if (extras.useDora() || !extras.modulesToSave().isEmpty()) {
      throw new InvalidInputException(
          "adapter '"
              + part.name
              + "' "
              + (extras.useDora()
                  ? "is a DoRA adapter"
                  : "replaces " + extras.modulesToSave() + " whole")
              + ", which is no sum with others or a weight: select it alone");
    }
  }

  private static int rank(Part part, String path) {
    return Optional.ofNullable(part.adapter.update(path)).map(LowRank::rank).orElse(0);
  }

  private static void fill(String path, List<Part> parts, Tensor a, Tensor b) {
    long at = 0;
    for (Part part : parts) {
      LowRank update = part.adapter.update(path);
      if (update == null) {
        continue;
      }
      try (Tensor down = update.down();
          Tensor up = update.up();
          Tensor rows = a.narrow(0, at, update.rank());
          Tensor columns = b.narrow(1, at, update.rank());
          Tensor scaled = Tensor.empty(b.device(), b.dtype(), up.shape())) {
        rows.copyFrom(down);
        float[] values = up.toFloats();
        for (int i = 0; i < values.length; i++) {
          values[i] = (float) (part.weight * update.scaling() * values[i]);
        }
        columns.copyFrom(scaled.setFloats(FloatBuffer.wrap(values)));
        at += update.rank();
      }
    }
  }

  void attach() {
    updates.forEach((path, update) -> model.linears().get(path).attach(update));
  }

  @Override
  public void close() {
    updates.forEach(
        (path, update) -> {
          Linear linear = model.linears().get(path);
          if (linear.adapter().filter(on -> on == update).isPresent()) {
            linear.attach(null);
          }
        });
    parameters.close();
  }
}
