package ai.nibble.export.merge;

import ai.nibble.InvalidInputException;
import ai.nibble.lora.AdapterExtras;
import ai.nibble.lora.AdapterStore;
import ai.nibble.lora.StoredAdapter;
import ai.nibble.model.WeightSource;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.function.Consumer;

/**
 * Keeps count of the adapters that a merged model holds while some are taken out: each only as
 * often as its {@code merge.json} has it, and with the weight that stands there.
 */
final class Removal {
  private final Path model;
  private final String baseWeights;
  private final List<MergeRecord.Entry> held;
  private final List<MergeRecord.Entry> takenOut;

  /**
   * Reads what a model holds.
   *
   * @param notices takes a line where that is not known, or what comes back is not the original
   */
  Removal(Path model, Consumer<String> notices) {
    this.model = model;
    Optional<MergeRecord> record = MergeRecord.read(WeightSource.directory(model));
    this.baseWeights = record.map(MergeRecord::baseWeights).orElse(MergeRecord.UNKNOWN);
    this.held = new ArrayList<>(record.map(MergeRecord::adapters).orElse(List.of()));
    this.takenOut = new ArrayList<>(record.map(MergeRecord::takenOut).orElse(List.of()));
    if (record.isEmpty()) {
      notices.accept(
          model + " has no " + MergeRecord.NAME + ": that it holds the adapter is believed");
    } else if (isKnown() && !baseWeights.equals(MergeRecord.ORIGINAL)) {
      notices.accept(
          "the adapter was merged onto weights in "
              + baseWeights
              + ": those come back, not the original ones");
    }
  }

  private boolean isModel(String path) {
    try {
      return Files.isSameFile(model, Path.of(path));
    } catch (IOException | InvalidPathException e) {
      return false; // a name of Hugging Face's, or no longer there
    }
  }

  private boolean isKnown() {
    return !baseWeights.equals(MergeRecord.UNKNOWN);
  }

  /**
   * Takes an adapter off the list.
   *
   * @return the weight with which it was merged
   * @throws InvalidInputException if the model does not hold it, or not with the weight given
   */
  double take(MergeRequest.Adapter adapter) {
    Path weights = adapter.directory().resolve(AdapterStore.WEIGHTS);
    String hash = Files.isRegularFile(weights) ? MergeRecord.sha256Of(weights) : "";
    Optional<MergeRecord.Entry> found =
        held.stream().filter(entry -> entry.sha256().equals(hash)).findFirst();
    if (found.isEmpty()) {
      boolean again = takenOut.stream().anyMatch(entry -> entry.sha256().equals(hash));
      if (isKnown() || again) {
        throw notHeld(adapter.directory(), again);
      }
      double believed = adapter.weight().orElse(1);
      takenOut.add(MergeRecord.Entry.believed(adapter.directory(), believed));
      return believed;
    }
    MergeRecord.Entry entry = found.get();
    if (adapter.weight().isPresent() && adapter.weight().getAsDouble() != entry.weight()) {
      throw new InvalidInputException(
          place()
              + " says that "
              + adapter.directory()
              + " was merged with weight "
              + entry.weight()
              + ", expected that or none instead of "
              + adapter.weight().getAsDouble());
    }
    requireNothingScaledSince(adapter.directory(), entry);
    held.remove(entry);
    takenOut.add(entry);
    return entry.weight();
  }

  /** A DoRA adapter scaled what was there before it; what came after it lies on top of that. */
  private void requireNothingScaledSince(Path adapter, MergeRecord.Entry entry) {
    List<MergeRecord.Entry> later = held.subList(held.indexOf(entry) + 1, held.size());
    Optional<MergeRecord.Entry> inTheWay =
        later.stream().filter(e -> entry.gains().isPresent() || e.gains().isPresent()).findFirst();
    if (inTheWay.isPresent()) {
      throw new InvalidInputException(
          adapter
              + ": was merged before '"
              + inTheWay.get().name()
              + "', and DoRA's factors of rows are undone in the opposite order: take '"
              + inTheWay.get().name()
              + "' out first");
    }
  }

  /**
   * What a DoRA adapter that was {@linkplain #take taken} multiplied rows by; empty for any other,
   * and where nothing was kept.
   */
  Optional<RowGains> gains(StoredAdapter adapter) {
    MergeRecord.Entry entry = takenOut.get(takenOut.size() - 1);
    return entry
        .gains(WeightSource.directory(model))
        .filter(file -> adapter.extras().useDora() && Files.isRegularFile(file))
        .map(RowGains::read);
  }

  private InvalidInputException notHeld(Path adapter, boolean again) {
    String names =
        again
            ? " says that " + adapter + " was taken out already"
            : " names the adapters "
                + held.stream().map(MergeRecord.Entry::name).toList()
                + ", none with the weights of "
                + adapter;
    return new InvalidInputException(place() + names + ": only what was merged can be taken out");
  }

  private String place() {
    return model + ": " + MergeRecord.NAME;
  }

  /** What the model holds without those that were taken. */
  MergeRecord record() {
    return new MergeRecord(baseWeights, held, takenOut);
  }

  /**
   * Checks that an adapter's update can be subtracted.
   *
   * @throws InvalidInputException if it overwrote something of the base, or the model is its base
   */
  void requirePossible(StoredAdapter adapter) {
    if (!isKnown() && adapter.config().baseModel().filter(this::isModel).isPresent()) {
      throw new InvalidInputException(
          model
              + ": is what "
              + adapter.directory()
              + " was trained on, expected a model that it was merged into");
    }
    String reason = null;
    if (adapter.extras().useDora() && gains(adapter).isEmpty()) {
      reason = "is a DoRA adapter, whose factors of rows nothing kept when it was merged";
    } else if (!adapter.extras().modulesToSave().isEmpty()) {
      reason = "replaced " + adapter.extras().modulesToSave() + " whole";
    } else if (!adapter.tokens().isEmpty()) {
      reason = "replaced rows of tokens";
    } else if (adapter.extras().bias() != AdapterExtras.Bias.NONE) {
      reason = "replaced biases";
    }
    if (reason != null) {
      throw new InvalidInputException(
          adapter.directory()
              + ": "
              + reason
              + ", which the merged weights no longer hold: take the base itself");
    }
  }
}
