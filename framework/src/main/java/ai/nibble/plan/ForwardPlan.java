package ai.nibble.plan;

import ai.nibble.model.ModelConfig;
import ai.nibble.model.ModelShape;
import ai.nibble.model.Placement;
import ai.nibble.model.WeightSizes;
import ai.nibble.model.WeightSource;
import ai.nibble.nn.Extent;
import ai.nibble.nn.Precision;
import ai.nibble.quant.Quant4Config;
import ai.nibble.quant.QuantConfig;
import ai.nibble.quant.stored.StoredMatrix;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Device;
import ai.nibble.tensor.Torch;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Consumer;

/**
 * Places a model that is only computed forward, to generate or to be measured: its weights, keys
 * and values, and a pass.
 */
public final class ForwardPlan {
  /** Tokens of all sequences whose keys and values are held: a long answer, or several. */
  private static final int CACHED_TOKENS = 8192;

  private ForwardPlan() {}

  /**
   * Where a base's parts go: all on the first device that has room for them, else over the devices
   * in their order.
   *
   * @param held the form that its linears are held in
   * @param compute the dtype of the computation
   * @param tokens most of a pass
   * @param rooms as {@link DevicePlan#fill} takes them
   */
  public static DevicePlan of(
      WeightSource source,
      Optional<QuantConfig> held,
      DType compute,
      int tokens,
      List<Room> rooms) {
    ModelConfig config = source.config();
    ModelShape model =
        ModelShape.of(
            config,
            source.heldDtype("model.embed_tokens.weight"),
            false,
            new ModelShape.Linears(path -> 0, false, path -> isInt8(source, held, path)));
    return DevicePlan.fill(
        rooms,
        room -> needs(source, held, model, compute, tokens, room.device()),
        config.tieWordEmbeddings());
  }

  /**
   * The placement of a base over devices of this machine. What none has room for is tried on the
   * first: a plan is careful.
   *
   * @param devices in the order to fill them
   * @param notes takes a line for each thing that is to be known of it
   */
  public static Placement place(
      WeightSource source,
      Optional<QuantConfig> held,
      DType compute,
      int tokens,
      List<Device> devices,
      Consumer<String> notes) {
    Placement first = Placement.on(devices.get(0));
    if (devices.size() == 1) {
      return first;
    }
    DevicePlan plan = of(source, held, compute, tokens, devices.stream().map(Room::of).toList());
    plan.shortage().ifPresent(s -> notes.accept("memory: " + s + ": tried on " + devices.get(0)));
    Placement placement = plan.placement().orElse(first);
    if (placement.isSplit()) {
      plan.uses().forEach(use -> notes.accept(use.summary()));
    }
    placement.notices(compute).forEach(notes);
    return placement;
  }

  private static List<PartNeed> needs(
      WeightSource source,
      Optional<QuantConfig> held,
      ModelShape model,
      DType compute,
      int tokens,
      Device device) {
    ModelConfig c = source.config();
    Precision precision = Precision.of(compute, device);
    long cached =
        2L * CACHED_TOKENS * c.numKeyValueHeads() * c.headDim() * precision.product().bytes();
    PartSizes sizes =
        new PartSizes(
            WeightSizes.byPart(source, held, device.type(), PartSizes::part), Map.of(), 0, cached);
    Extent extent =
        new Extent(
            new int[] {0, tokens}, precision, device.type(), !device.isCpu(), Torch.threads());
    return PartNeeds.forward(model, sizes, extent);
  }

  private static boolean isInt8(WeightSource source, Optional<QuantConfig> held, String path) {
    return source
        .quantized(path + ".weight")
        .map(StoredMatrix::isInt8)
        .orElseGet(
            () -> held.filter(q -> !(q instanceof Quant4Config) && q.quantizes(path)).isPresent());
  }
}
