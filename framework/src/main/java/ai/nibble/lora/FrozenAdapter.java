package ai.nibble.lora;

import ai.nibble.nn.DenseWeight;
import ai.nibble.nn.LowRank;
import ai.nibble.nn.Parameter;
import ai.nibble.nn.ParameterSet;
import ai.nibble.nn.TrainedRows;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Tensor;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.function.Supplier;

/**
 * A copy of an adapter as it was at a moment, on the same model, while the adapter itself goes on
 * learning: what PEFT has as a second adapter that is frozen. It holds every trained value once
 * more, and belongs to the adapter, which frees it.
 */
public final class FrozenAdapter {
  private final LoraAdapter adapter;
  private final AdapterParts parts;

  /**
   * @param trained what the adapter puts on its model
   */
  FrozenAdapter(LoraAdapter adapter, AdapterParts trained) {
    this.adapter = adapter;
    Map<String, Parameter> copies = copies(adapter.parameters());
    Map<String, LowRank> updates = new LinkedHashMap<>();
    trained.updates().forEach((path, update) -> updates.put(path, copy(update, copies)));
    Map<String, DenseWeight> whole = new LinkedHashMap<>();
    for (String path : trained.whole().keySet()) {
      Tensor table = copies.get(WholeModules.name(path)).value().share();
      whole.put(path, adapter.parameters().own(new DenseWeight(table)));
    }
    Map<String, TrainedRows> rows = new LinkedHashMap<>();
    trained
        .rows()
        .forEach(
            (path, of) ->
                rows.put(path, new TrainedRows(of.ids(), copies.get(of.values().name()))));
    this.parts = new AdapterParts(updates, whole, rows);
  }

  /** What began with it and is taken back is not trained: it is the same. */
  private static LowRank copy(LowRank update, Map<String, Parameter> copies) {
    return new LowRank(
        copies.get(update.a().name()),
        copies.get(update.b().name()),
        update.scaling(),
        update.dropout(),
        update.magnitude().map(m -> copies.get(m.name())),
        update.fixed());
  }

  private static Map<String, Parameter> copies(ParameterSet parameters) {
    Map<String, Parameter> copies = new HashMap<>();
    for (ParameterSet part : parameters.parts()) {
      Tensor now = part.values();
      Tensor flat = parameters.own(Tensor.empty(now.device(), DType.FLOAT32, now.numel()));
      flat.copyFrom(now);
      for (Parameter p : part.parameters()) {
        try (Tensor place = flat.narrow(0, part.offset(p.name()), p.value().numel())) {
          Tensor value = parameters.own(place.view(p.value().shape()));
          copies.put(p.name(), Parameter.frozen(p.name(), value));
        }
      }
    }
    return copies;
  }

  /**
   * Computes something with the model as this copy makes it; afterwards the adapter itself is on.
   *
   * @param body is not to attach or detach adapters, nor to differentiate
   */
  public <T> T instead(Supplier<T> body) {
    return adapter.instead(parts, body);
  }
}
