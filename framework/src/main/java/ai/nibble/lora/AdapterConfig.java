package ai.nibble.lora;

import ai.nibble.hub.HubId;
import ai.nibble.hub.HubModels;
import java.util.List;
import java.util.Optional;

/**
 * What {@code adapter_config.json} says of an adapter.
 *
 * @param lora ranks, scales and targets; the initialisation is {@code KAIMING} when read from a
 *     file, whose tensors are what counts
 * @param baseModel the base model's directory or hub id, as written by whoever saved the adapter
 * @param revision the base model's revision
 * @param ignoredKeys keys of the file that Nibble does not know and that are set to something, in
 *     the file's order: worth a line to the user; empty for an adapter of ours
 */
public record AdapterConfig(
    LoraConfig lora,
    Optional<String> baseModel,
    Optional<String> revision,
    List<String> ignoredKeys) {
  public AdapterConfig {
    ignoredKeys = List.copyOf(ignoredKeys);
  }

  /** What the adapter does besides adding B·A. */
  public AdapterExtras extras() {
    return lora.extras();
  }

  /**
   * An adapter of ours on a base model.
   *
   * @param baseModel its path; where that is in the hub's cache, the adapter names the hub's model
   *     and its commit in its place, which others have too
   */
  public AdapterConfig(LoraConfig lora, String baseModel) {
    this(
        lora,
        Optional.of(HubModels.idOf(baseModel).map(HubId::repository).orElse(baseModel)),
        HubModels.idOf(baseModel).flatMap(HubId::revision),
        List.of());
  }
}
