package ai.nibble.recipe;

import ai.nibble.InvalidInputException;
import ai.nibble.lora.LoraConfig;
import ai.nibble.lora.StoredAdapter;
import ai.nibble.lora.TargetMatcher;
import ai.nibble.lora.WholeModules;
import ai.nibble.model.CausalLm;
import ai.nibble.model.WeightSizes;
import ai.nibble.model.WeightSizes.Form;
import ai.nibble.model.WeightSource;
import ai.nibble.quant.stored.StoredMatrix;
import ai.nibble.tensor.Device;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;

/**
 * Whether a base can be adapted as a recipe says, by the headers of its weights: what adapting it
 * would refuse, before any weight is read.
 */
final class BaseCheck {
  private static final String KEEP = "keep_dequantized_layers";

  private final Recipe recipe;
  private final WeightSource source;

  private BaseCheck(Recipe recipe, WeightSource source) {
    this.recipe = recipe;
    this.source = source;
  }

  /**
   * Checks.
   *
   * @throws InvalidInputException with a line for each reason
   */
  static void require(Recipe recipe, WeightSource source) {
    if (recipe.adapter() != Recipe.Adapter.NONE) {
      new BaseCheck(recipe, source).adapter();
    }
  }

  private void adapter() {
    LoraConfig lora = LoraSettings.of(recipe, source.config());
    List<String> adapted = new TargetMatcher(lora).select(CausalLm.adaptablePaths(source.config()));
    List<String> problems = new ArrayList<>();
    if (lora.extras().useDora()) {
      adapted.stream()
          .filter(this::isInt8)
          .findFirst()
          .ifPresent(
              path ->
                  problem(
                      "use_dora",
                      "'"
                          + path
                          + "' is stored in 8 bits, which is not supported yet: take a base in 4"
                          + " bits or as it was",
                      problems));
    }
    Set<String> plain = new LinkedHashSet<>(WholeModules.of(lora));
    plain.addAll(lora.extras().trainableTokens().ids().keySet());
    for (String path : plain) {
      String key = lora.extras().saves(path) ? "lora_modules_to_save" : "trainable_token_indices";
      stored(path)
          .ifPresent(
              matrix ->
                  problem(
                      key,
                      "'"
                          + path
                          + "' is stored in "
                          + matrix.description()
                          + ", expected float32, bfloat16 or float16 for training it: leave it out,"
                          + " or take the base that was not quantised",
                      problems));
    }
    keptLayers(problems);
    if (!problems.isEmpty()) {
      throw new InvalidInputException(problems);
    }
    recipe.lora().modelDir().ifPresent(this::begunWith);
  }

  /** Layers that are to keep what is dequantised are there, and something is. */
  private void keptLayers(List<String> problems) {
    KeptDequantized kept = recipe.training().keepDequantizedLayers();
    int all = source.config().numHiddenLayers();
    if (kept.asked(all) == 0) {
      return;
    }
    WeightSizes sizes = WeightSizes.of(source, recipe.quantization().config(), Device.Type.CPU);
    String what = null;
    if (sizes.of(Form.CODES_4BIT) + sizes.of(Form.CODES_8BIT) == 0) {
      what = "no weight of the base is quantised: remove it, or set load_in_4bit: true";
    } else if (!kept.equals(KeptDequantized.ALL) && kept.asked(Integer.MAX_VALUE) > all) {
      what = "the base has " + all + " layers: set all, or a number up to that";
    }
    if (what != null) {
      problems.add(recipe.where(KEEP) + ": '" + KEEP + "' is '" + kept + "', but " + what);
    }
  }

  private boolean isInt8(String path) {
    return stored(path).filter(StoredMatrix::isInt8).isPresent();
  }

  private Optional<StoredMatrix> stored(String path) {
    boolean isTied = path.equals(CausalLm.HEAD) && source.config().tieWordEmbeddings();
    String name = (isTied ? CausalLm.EMBEDDING : path) + ".weight";
    return source.names().contains(name) ? source.quantized(name) : Optional.empty();
  }

  /** Names, shapes and values of the adapter that training begins with. */
  private void begunWith(Path directory) {
    try {
      StoredAdapter.open(directory, source).close();
    } catch (InvalidInputException e) {
      List<String> problems = new ArrayList<>();
      e.problems().forEach(line -> problem("lora_model_dir", line, problems));
      throw new InvalidInputException(problems);
    }
  }

  private void problem(String key, String what, List<String> problems) {
    problems.add(recipe.where(key) + ": '" + key + "': " + what);
  }
}
