package ai.nibble.cli;

import ai.nibble.lora.AdapterSet;
import ai.nibble.quant.QuantConfig;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Device;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * What model to load.
 *
 * @param model the base: a directory or GGUF file; empty: what the first adapter names
 * @param adapters PEFT directories by name, in the order given; at least one where there is no base
 * @param quantization of the base's linears; empty: as the first adapter was trained, or as stored
 * @param computeDtype empty: as the first adapter was trained, or what suits the device
 * @param devices that the model may be placed over: the first, if it has the room
 * @param nonFinite whether weights of the base that are NaN or infinite are taken as they are
 */
record ModelRequest(
    Optional<Path> model,
    Map<String, Path> adapters,
    Optional<QuantConfig> quantization,
    Optional<DType> computeDtype,
    List<Device> devices,
    boolean nonFinite) {
  ModelRequest {
    devices = List.copyOf(devices);
    adapters = Collections.unmodifiableMap(new LinkedHashMap<>(adapters));
  }

  /** On one device, of finite weights. */
  ModelRequest(
      Optional<Path> model,
      Map<String, Path> adapters,
      Optional<QuantConfig> quantization,
      Optional<DType> computeDtype,
      Device device) {
    this(model, adapters, quantization, computeDtype, List.of(device), false);
  }

  /** The first device. */
  Device device() {
    return devices.get(0);
  }

  List<String> adapterNames() {
    return new ArrayList<>(adapters.keySet());
  }

  /** The adapter that is on to begin with: the first, or off. */
  String firstAdapter() {
    return adapters.keySet().stream().findFirst().orElse(AdapterSet.OFF);
  }
}
