package ai.nibble.model;

import ai.nibble.InvalidInputException;
import ai.nibble.nn.Precision;
import ai.nibble.quant.Quant4Config;
import ai.nibble.quant.Quant4Type;
import ai.nibble.quant.Quant8Config;
import ai.nibble.quant.QuantConfig;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Device;
import ai.nibble.tensor.Gpu;
import ai.nibble.tensor.KernelLaunchers;
import ai.nibble.tensor.Torch;
import java.util.List;
import java.util.Optional;
import java.util.stream.IntStream;

/**
 * How a base model is held and computed.
 *
 * @param quantization of the linears' weights; empty to hold them as they were stored. Embeddings,
 *     norms and the output head are never quantised
 * @param computeDtype of activations and of weights as they are used: float32 or bfloat16
 * @param trained whether the weights themselves are trained: they are held in float32 then, in one
 *     {@link ai.nibble.nn.ParameterSet}, and cannot be quantised
 * @param placement where the model's modules are held and computed
 * @param nonFinite whether weights that are NaN or infinite are taken as they are, with a line for
 *     each tensor of them, instead of refused; those that are quantised or trained never are
 */
public record LoadOptions(
    Optional<QuantConfig> quantization,
    DType computeDtype,
    boolean trained,
    Placement placement,
    boolean nonFinite) {
  /** The first compute capability with bfloat16 in tensor cores. */
  private static final int AMPERE = 80;

  public LoadOptions {
    if (trained && quantization.isPresent()) {
      throw new IllegalArgumentException("quantised weights cannot be trained");
    }
  }

  /** Of finite weights. */
  public LoadOptions(
      Optional<QuantConfig> quantization,
      DType computeDtype,
      boolean trained,
      Placement placement) {
    this(quantization, computeDtype, trained, placement, false);
  }

  /** On one device. */
  public LoadOptions(
      Optional<QuantConfig> quantization, DType computeDtype, boolean trained, Device device) {
    this(quantization, computeDtype, trained, Placement.on(device));
  }

  /** On the CPU. */
  public LoadOptions(Optional<QuantConfig> quantization, DType computeDtype, boolean trained) {
    this(quantization, computeDtype, trained, Device.CPU);
  }

  /** Frozen weights. */
  public LoadOptions(Optional<QuantConfig> quantization, DType computeDtype) {
    this(quantization, computeDtype, false);
  }

  /** NF4 with double quantisation, blocks of 64, the compute dtype that suits this machine. */
  public static LoadOptions nf4() {
    return new LoadOptions(
        Optional.of(new Quant4Config(Quant4Type.NF4, 64, true)), autoComputeDtype());
  }

  /** LLM.int8() with outliers from 6.0 on, the compute dtype that suits this machine. */
  public static LoadOptions int8() {
    return new LoadOptions(Optional.of(new Quant8Config()), autoComputeDtype());
  }

  /** Weights as they were stored. */
  public static LoadOptions unquantized(DType computeDtype) {
    return new LoadOptions(Optional.empty(), computeDtype);
  }

  /** All weights to be trained. */
  public static LoadOptions trained(DType computeDtype) {
    return new LoadOptions(Optional.empty(), computeDtype, true);
  }

  /** The first GPU that libtorch and the kernels can use, else the CPU. */
  public static Device autoDevice() {
    return gpus().stream().findFirst().orElse(Device.CPU);
  }

  /** The GPUs that libtorch and the kernels can use, in their order. */
  public static List<Device> gpus() {
    return IntStream.range(0, Torch.cudaDeviceCount())
        .mapToObj(i -> new Device(Device.Type.CUDA, i))
        .filter(KernelLaunchers::serves)
        .toList();
  }

  /** Why a device cannot be used; empty if it can. */
  public static Optional<String> missing(Device device) {
    if (device.isCpu() || gpus().contains(device)) {
      return Optional.empty();
    }
    return Optional.of(
        gpus().isEmpty()
            ? "there is no NVIDIA GPU that can be used; 'nibble doctor' says what is missing"
            : "the GPUs that can be used are "
                + gpus()
                + ": name one of these, or use device_map: auto");
  }

  /** bfloat16 where the CPU multiplies it fast, else float32. */
  public static DType autoComputeDtype() {
    return autoComputeDtype(Device.CPU);
  }

  /** bfloat16 where the device multiplies it fast, else float32. */
  public static DType autoComputeDtype(Device device) {
    boolean fast =
        device.isCpu() ? Torch.multipliesBfloat16() : multipliesBfloat16(Torch.gpu(device));
    return fast ? DType.BFLOAT16 : DType.FLOAT32;
  }

  /** One line that says which dtype {@link #autoComputeDtype} picked, and why. */
  public static String autoReason() {
    return autoReason(Device.CPU);
  }

  /** One line that says which dtype {@link #autoComputeDtype(Device)} picked, and why. */
  public static String autoReason(Device device) {
    return device.isCpu() ? autoReason(Torch.multipliesBfloat16()) : autoReason(Torch.gpu(device));
  }

  static String autoReason(Gpu gpu) {
    return multipliesBfloat16(gpu)
        ? "compute dtype bfloat16: " + described(gpu) + " multiplies it"
        : "compute dtype float32: "
            + described(gpu)
            + " does not multiply bfloat16"
            + " (it does float16: bnb_4bit_compute_dtype: float16)";
  }

  /**
   * @param multiplies whether this CPU has instructions for bfloat16
   */
  static String autoReason(boolean multiplies) {
    return multiplies
        ? "compute dtype bfloat16: this CPU multiplies it (AMX or AVX512-BF16)"
        : "compute dtype float32: this CPU has no bfloat16 instructions (AMX or AVX512-BF16)";
  }

  /** The same on a device. */
  public LoadOptions on(Device where) {
    return on(Placement.on(where));
  }

  /** The same in other places. */
  public LoadOptions on(Placement where) {
    return new LoadOptions(quantization, computeDtype, trained, where, nonFinite);
  }

  /** The same, with weights that are NaN or infinite taken or refused. */
  public LoadOptions withNonFinite(boolean taken) {
    return new LoadOptions(quantization, computeDtype, trained, placement, taken);
  }

  /** Where the model is; of several devices the embedding's. */
  public Device device() {
    return placement.first();
  }

  /**
   * The dtypes of the computation; of several devices those of the embedding's.
   *
   * @throws InvalidInputException if a device does not compute in them
   */
  public Precision precision() {
    for (Device device : placement.modules().values()) {
      if (!device.isCpu() && computeDtype == DType.BFLOAT16) {
        requireBfloat16(Torch.gpu(device));
      }
    }
    return Precision.of(computeDtype, device());
  }

  static void requireBfloat16(Gpu gpu) {
    if (!multipliesBfloat16(gpu)) {
      throw new InvalidInputException(
          "compute dtype is bfloat16, which "
              + described(gpu)
              + " does not multiply, expected compute capability 8.0 or more: compute in float16"
              + " (bnb_4bit_compute_dtype: float16, or --compute-dtype float16) or on the CPU"
              + " (device_map: cpu, or --device cpu)");
    }
  }

  private static boolean multipliesBfloat16(Gpu gpu) {
    return gpu.capability() >= AMPERE;
  }

  private static String described(Gpu gpu) {
    return "cuda:" + gpu.index() + " (" + gpu.name() + ", " + gpu.capabilityText() + ")";
  }
}
