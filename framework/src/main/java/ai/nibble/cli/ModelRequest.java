package ai.nibble.cli;

import ai.nibble.lora.AdapterSet;
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
 * @param loadIn4bit whether to hold the base in NF4; else as the first adapter was trained, or as
 *     stored
 * @param computeDtype empty: as the first adapter was trained, or what suits the device
 * @param device where the model is computed
 */
record ModelRequest(
    Optional<Path> model,
    Map<String, Path> adapters,
    boolean loadIn4bit,
    Optional<DType> computeDtype,
    Device device) {
  ModelRequest {
    adapters = Collections.unmodifiableMap(new LinkedHashMap<>(adapters));
  }

  List<String> adapterNames() {
    return new ArrayList<>(adapters.keySet());
  }

  /** The adapter that is on to begin with: the first, or off. */
  String firstAdapter() {
    return adapters.keySet().stream().findFirst().orElse(AdapterSet.OFF);
  }
}
