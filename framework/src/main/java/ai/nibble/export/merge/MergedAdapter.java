package ai.nibble.export.merge;

import ai.nibble.lora.AdapterExtras;
import ai.nibble.lora.StoredAdapter;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.Set;

/**
 * An adapter that is merged.
 *
 * @param stored where its tensors come from; whoever opened it closes it
 * @param weight factor of what it adds
 * @param undone of a DoRA adapter that is taken out: what it multiplied rows by; else empty
 */
record MergedAdapter(StoredAdapter stored, double weight, Optional<RowGains> undone) {

  /** One that is merged. */
  MergedAdapter(StoredAdapter stored, double weight) {
    this(stored, weight, Optional.empty());
  }

  Path directory() {
    return stored.directory();
  }

  AdapterExtras extras() {
    return stored.extras();
  }

  /** Modules that carry A and B. */
  List<String> modules() {
    return stored.modules();
  }

  /** Names in the base of the tensors that are replaced. */
  Set<String> replaced() {
    return stored.replaced();
  }

  /** The factor of B·A. */
  double scaling(String module) {
    return weight * stored.scaling(module);
  }
}
