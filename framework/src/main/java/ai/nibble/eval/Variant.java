package ai.nibble.eval;

import ai.nibble.quant.Quant4Config;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Device;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Locale;
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
 * @param device where it is computed
 */
public record Variant(
    String name,
    Path base,
    Optional<Quant4Config> quantization,
    DType computeDtype,
    Optional<Path> adapter,
    Device device) {

  /** What results depend on. */
  Map<String, String> settings() {
    Map<String, String> settings = new LinkedHashMap<>();
    settings.put("base", Fingerprint.of(base));
    settings.put("weights", weights());
    settings.put("compute_dtype", computeDtype.torchName());
    settings.put("adapter", adapter.map(Fingerprint::of).orElse("none"));
    if (!device.isCpu()) {
      settings.put("device", "cuda"); // sums are in another order there
    }
    return settings;
  }

  /** How the linears' weights are held, for people. */
  public String weights() {
    return quantization
        .map(
            q ->
                q.type().name().toLowerCase(Locale.ROOT)
                    + ", blocks of "
                    + q.blockSize()
                    + (q.doubleQuant() ? ", double quantisation" : ""))
        .orElse("as stored");
  }
}
