package ai.nibble.eval;

import ai.nibble.quant.QuantConfig;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Device;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * One of the models that are compared.
 *
 * @param name among the variants of a run, such as {@code nf4-dq}
 * @param base a directory or GGUF file
 * @param quantization of the linears' weights; empty: as they were stored
 * @param computeDtype float32 or bfloat16
 * @param adapter a PEFT directory
 * @param devices that it may be placed over: the first, if it has the room
 */
public record Variant(
    String name,
    Path base,
    Optional<QuantConfig> quantization,
    DType computeDtype,
    Optional<Path> adapter,
    List<Device> devices) {
  public Variant {
    devices = List.copyOf(devices);
  }

  /** On one device. */
  public Variant(
      String name,
      Path base,
      Optional<QuantConfig> quantization,
      DType computeDtype,
      Optional<Path> adapter,
      Device device) {
    this(name, base, quantization, computeDtype, adapter, List.of(device));
  }

  /** What results depend on. */
  Map<String, String> settings() {
    Map<String, String> settings = new LinkedHashMap<>();
    settings.put("base", Fingerprint.of(base));
    settings.put("weights", weights());
    settings.put("compute_dtype", computeDtype.torchName());
    settings.put("adapter", adapter.map(Fingerprint::of).orElse("none"));
    if (!devices.get(0).isCpu()) {
      settings.put("device", "cuda"); // sums are in another order there
    }
    return settings;
  }

  /** How the linears' weights are held, for people. */
  public String weights() {
    return quantization.map(QuantConfig::description).orElse("as stored");
  }
}
