package ai.nibble.train;

import ai.nibble.WholeFile;
import ai.nibble.model.Trainable;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.stream.Stream;

/**
 * Writes what is trained where people look for it: the last one into the output directory itself,
 * those on the way into {@code checkpoint-N} beside it. A checkpoint appears whole or not at all.
 */
final class Checkpoints {
  private static final String PREFIX = "checkpoint-";

  private final Path output;
  private final String baseModel;
  private final int limit;

  /**
   * @param baseModel the base that an adapter names, or that a whole model's configuration is from
   * @param limit checkpoints kept; 0: all
   */
  Checkpoints(Path output, String baseModel, int limit) {
    this.output = output;
    this.baseModel = baseModel;
    this.limit = limit;
  }

  /** Writes what was trained into the output directory. */
  Path saveFinal(Trainable trained) {
    try {
      trained.save(output, baseModel);
      return output;
    } catch (IOException e) {
      throw new UncheckedIOException(output + ": what was trained could not be written", e);
    }
  }

  /** Writes {@code checkpoint-step}, then removes the oldest beyond the limit. */
  Path save(Trainable trained, int step) {
    Path target = output.resolve(PREFIX + step);
    Path temporary = output.resolve(".tmp-" + PREFIX + step);
    try {
      delete(temporary);
      trained.save(temporary, baseModel);
      delete(target);
      WholeFile.move(temporary, target);
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
