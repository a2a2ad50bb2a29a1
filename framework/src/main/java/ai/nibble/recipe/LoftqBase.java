package ai.nibble.recipe;

import ai.nibble.FileProblem;
import ai.nibble.InvalidInputException;
import ai.nibble.WholeDirectory;
import ai.nibble.checkpoint.SavedCheckpoint;
import ai.nibble.export.quantize.Quantize;
import ai.nibble.export.quantize.QuantizeRequest;
import ai.nibble.lora.LoftqWeights;
import ai.nibble.model.CausalLm;
import ai.nibble.model.WeightSource;
import ai.nibble.quant.Quant4Config;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.stream.Stream;

/**
 * The 4-bit base of LoftQ's last iteration, where there is more than one: another than the stored
 * one gives, so that it lies beside the adapter, as transformers and bitsandbytes load it.
 */
final class LoftqBase {
  /** Its directory in {@code output_dir}. */
  static final String NAME = "loftq_base";

  private static final long SHARD_BYTES = 5_000_000_000L;

  private LoftqBase() {}

  /** Whether a recipe trains on one. */
  static boolean isNeeded(Recipe recipe) {
    return recipe.adapter() != Recipe.Adapter.NONE && recipe.lora().loftqIterations() > 1;
  }

  /** The one that an adapter's run made; empty where it made none. */
  static Optional<Path> in(Path folder) {
    return Optional.of(folder.resolve(NAME)).filter(Files::isDirectory);
  }

  /**
   * Makes it, or takes the one of the run that is gone on with.
   *
   * @param from the checkpoint that the run goes on from
   * @param out told how long it took
   * @throws InvalidInputException if the one of that run is gone
   */
  static Path of(Recipe recipe, Optional<SavedCheckpoint> from, PrintStream out)
      throws IOException {
    Path target = recipe.output().outputDir().resolve(NAME);
    if (from.isEmpty()) {
      make(recipe, target, out);
      return target;
    }
    Path folder = from.get().directory().toAbsolutePath().getParent();
    Path made =
        in(folder)
            .orElseThrow(
                () ->
                    new InvalidInputException(
                        from.get().directory()
                            + ": was trained on "
                            + folder.resolve(NAME)
                            + ", which is no longer there: put it back, or begin anew"));
    if (!Files.isDirectory(target)) {
      copy(made, target);
    }
    return target;
  }

  private static void make(Recipe recipe, Path target, PrintStream out) {
    long start = System.nanoTime();
    Quant4Config config = (Quant4Config) recipe.quantization().config().orElseThrow();
    try (WeightSource stored = WeightSource.open(recipe.base(), notice -> {});
        LoftqWeights weights =
            new LoftqWeights(
                stored,
                config,
                LoraSettings.of(recipe, stored.config()),
                CausalLm.adaptablePaths(stored.config()),
                recipe.lora().loftqIterations())) {
      Quantize.run(
          weights,
          new QuantizeRequest(recipe.base(), config, Optional.empty(), SHARD_BYTES, target),
          notice -> out.println("note: " + notice),
          progress -> {});
    }
    out.printf(
        Locale.ROOT,
        "loftq: the base of %d iterations is in %s, made in %.1f s%n",
        recipe.lora().loftqIterations(),
        target,
        (System.nanoTime() - start) / 1e9);
    out.flush();
  }

  private static void copy(Path made, Path target) throws IOException {
    try (Stream<Path> listing = Files.list(made);
        WholeDirectory copy = WholeDirectory.create(target, "output_dir")) {
      List<Path> files = listing.filter(Files::isRegularFile).toList();
      for (Path file : files) {
        Files.copy(file, copy.path().resolve(file.getFileName()));
      }
      copy.commit();
    }
  }

  /**
   * Checks that an adapter is not put on another base than its own.
   *
   * @param folder of the adapter's run
   * @throws InvalidInputException if it is
   */
  static void requireOwn(Path base, Path folder) {
    Optional<Path> own = in(folder);
    if (own.isPresent() && !isSame(own.get(), base)) {
      throw new InvalidInputException(
          folder
              + ": was trained on the 4-bit base that LoftQ made for it, "
              + own.get()
              + ", not on "
              + base
              + ": leave out --model, or name that one");
    }
  }

  private static boolean isSame(Path a, Path b) {
    try {
      return Files.isSameFile(a, b);
    } catch (IOException e) {
      throw new InvalidInputException(b + " cannot be read: " + FileProblem.reason(e), e);
    }
  }
}
