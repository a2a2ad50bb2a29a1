package ai.nibble.lora;

import ai.nibble.model.CausalLm;
import ai.nibble.nn.Adaptable;
import ai.nibble.nn.DenseWeight;
import ai.nibble.nn.LowRank;
import ai.nibble.nn.TrainedRows;
import java.util.Map;

/**
 * What an adapter puts on a model, by module path.
 *
 * @param updates of linears, of the embedding and of the output head
 * @param whole tables in place of the model's own
 * @param rows of tables, in place of those that lie there
 */
record AdapterParts(
    Map<String, LowRank> updates, Map<String, DenseWeight> whole, Map<String, TrainedRows> rows) {
  /** Puts all on; what another adapter left on the same modules goes. */
  void attach(CausalLm model) {
    updates.forEach((path, update) -> model.adaptables().get(path).attach(update));
    whole.forEach(model::replace);
    rows.forEach((path, trained) -> model.table(path).attach(trained));
  }

  /** Takes all off again; what another adapter put on the model since stays. */
  void detach(CausalLm model) {
    rows.forEach(
        (path, trained) -> {
          DenseWeight table = model.table(path);
          if (table.trainedRows().filter(on -> on == trained).isPresent()) {
            table.attach((TrainedRows) null);
          }
        });
    updates.forEach(
        (path, update) -> {
          Adaptable module = model.adaptables().get(path);
          if (module.adapter().filter(on -> on == update).isPresent()) {
            module.attach(null);
          }
        });
    whole.forEach(
        (path, table) -> {
          if (model.table(path) == table) {
            model.replace(path, null);
          }
        });
  }
}
