package ai.nibble.recipe;

import ai.nibble.model.CausalLm;
import ai.nibble.model.LoadOptions;
import ai.nibble.model.Placement;
import ai.nibble.model.RandomWeights;
import ai.nibble.model.WeightSizes;
import ai.nibble.model.WeightSource;
import ai.nibble.quant.QuantConfig;
import ai.nibble.recipe.Quantization.ComputeDtype;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Device;
import ai.nibble.tensor.Torch;
import java.io.OutputStream;
import java.io.PrintStream;
import java.nio.file.Path;
import java.util.Optional;
import java.util.function.Consumer;

/**
 * The base that a run trains on: how it is opened, held and loaded.
 *
 * @param path of it: the recipe's, or what LoftQ made of that
 * @param name what an adapter says that it was trained on
 * @param endIfAsked ends loading where somebody wants it to, told what is being done
 */
record RunBase(Recipe recipe, Path path, String name, Consumer<String> endIfAsked) {
  /** The recipe's. */
  static RunBase stored(Recipe recipe, Consumer<String> endIfAsked) {
    return new RunBase(recipe, recipe.base(), recipe.baseModel().toString(), endIfAsked);
  }

  /** Another in its place. */
  RunBase at(Path made) {
    return new RunBase(recipe, made, made.toString(), endIfAsked);
  }

  /** Its weights, the caller's to close. */
  WeightSource open(Consumer<String> notices) {
    return recipe.init() == Recipe.Init.RANDOM
        ? RandomWeights.of(recipe.base(), recipe.seed(), notices)
        : WeightSource.open(path, notices);
  }

  /** How it is loaded. */
  LoadOptions options(WeightSource source, Placement placement) {
    return options(source.settle(recipe.quantization().config(), notice -> {}), placement);
  }

  private LoadOptions options(Optional<QuantConfig> held, Placement placement) {
    boolean trained = recipe.adapter() == Recipe.Adapter.NONE;
    return new LoadOptions(held, computeDtype(placement), trained, placement)
        .withNonFinite(recipe.quantization().nonFiniteWeights());
  }

  private DType computeDtype(Placement placement) {
    return recipe
        .quantization()
        .computeDtype()
        .type()
        .orElseGet(() -> LoadOptions.autoComputeDtype(placement.computeDecider()));
  }

  /** The base for another worker; all there is to say was said of the first. */
  CausalLm loadAgain(Placement placement) {
    return load(placement, new PrintStream(OutputStream.nullOutputStream()));
  }

  /**
   * Reads it; the caller closes what comes.
   *
   * @param told how it is held and computed
   */
  CausalLm load(Placement placement, PrintStream told) {
    Quantization q = recipe.quantization();
    Device device = placement.computeDecider();
    DType compute = computeDtype(placement);
    if (q.computeDtype() == ComputeDtype.AUTO) {
      told.println(LoadOptions.autoReason(device));
    }
    placement.notices(compute).forEach(told::println);
    if (compute == DType.FLOAT16 && device.isCpu()) {
      told.println("float16 on a CPU takes float32's time: its products are computed wider");
    }
    if (device.isCpu() && RunSettings.optimizer(recipe.optimization()).isPaged()) {
      told.println("paged optimizer: a CPU has its memory at hand, so nothing is paged");
    }
    if (device.isCpu()
        && recipe.training().gradientCheckpointing() == Training.GradientCheckpointing.OFFLOAD) {
      told.println("gradient_checkpointing: offload is block on a CPU, whose memory is the host's");
    }
    Consumer<String> notices = notice -> told.println("note: " + notice);
    try (WeightSource source = open(notices)) {
      Optional<QuantConfig> held = source.settle(q.config(), notices);
      sayWhatBitsCost(WeightSizes.of(source, held, device.type()), device, told);
      return CausalLm.load(
          source,
          path,
          options(held, placement),
          (done, total) -> endIfAsked.accept("loading weights"));
    }
  }

  private static void sayWhatBitsCost(WeightSizes sizes, Device device, PrintStream told) {
    if (sizes.of(WeightSizes.Form.CODES_4BIT) > 0 && device.isCpu()) {
      told.println("4-bit weights on a CPU save memory rather than time");
    }
    if (sizes.of(WeightSizes.Form.CODES_8BIT) > 0 && device.isCpu() && !Torch.multipliesInt8()) {
      told.println("this CPU has no int8 products (AMX or AVX512-VNNI): 8-bit weights are slow");
    }
  }
}
