package ai.nibble.train;

import ai.nibble.lora.AdapterStore;
import ai.nibble.lora.LoraAdapter;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.stream.Stream;

/**
 * Writes adapters where people look for them: the last one into the output directory itself, those
 * on the way into {@code checkpoint-N} beside it. A checkpoint appears whole or not at all.
 */
final class Checkpoints {
  private static final String PREFIX = "checkpoint-";

  private final Path output;
  private final String baseModel;
  private final int limit;

  /**
   * @param baseModel what the adapters' configuration names as their base
   * @param limit checkpoints kept; 0: all
   */
  Checkpoints(Path output, String baseModel, int limit) {
    this.output = output;
    this.baseModel = baseModel;
    this.limit = limit;
  }

  /** Writes the adapter into the output directory. */
  Path saveFinal(LoraAdapter adapter, boolean trained) {
    try {
      AdapterStore.save(adapter, output, baseModel, trained);
      return output;
    } catch (IOException e) {
      throw new UncheckedIOException(output + ": the adapter could not be written", e);
    }
  }

  /** Writes {@code checkpoint-step}, then removes the oldest beyond the limit. */
  Path save(LoraAdapter adapter, int step) {
    Path target = output.resolve(PREFIX + step);
    Path temporary = output.resolve(".tmp-" + PREFIX + step);
    try {
      delete(temporary);
      AdapterStore.save(adapter, temporary, baseModel, true);
      delete(target);
      Files.move(temporary, target, StandardCopyOption.ATOMIC_MOVE);
      rotate(step);
      return target;
    } catch (IOException e) {
      throw new UncheckedIOException(target + ": the checkpoint could not be written", e);
    }
  }

  private void rotate(int newest) throws IOException {
    if (limit == 0) {
      return;
    }
    List<Integer> steps = new ArrayList<>();
    try (Stream<Path> entries = Files.list(output)) {
      entries
          .map(p -> p.getFileName().toString())
          .filter(name -> name.matches(PREFIX + "\\d{1,9}"))
          .map(name -> Integer.valueOf(name.substring(PREFIX.length())))
          // a higher number is some other run's: never ours to judge by
          .filter(step -> step <= newest)
          .forEach(steps::add);
    }
    steps.sort(Comparator.reverseOrder());
    for (int i = limit; i < steps.size(); i++) {
      delete(output.resolve(PREFIX + steps.get(i)));
    }
  }

  private static void delete(Path directory) throws IOException {
    if (!Files.exists(directory)) {
      return;
    }
    try (Stream<Path> tree = Files.walk(directory)) {
      for (Path path : tree.sorted(Comparator.reverseOrder()).toList()) {
        Files.delete(path);
      }
    }
  }
}
