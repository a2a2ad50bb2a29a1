package ai.nibble.export.quantize;

import ai.nibble.quant.QuantConfig;
import ai.nibble.tensor.DType;
import java.nio.file.Path;
import java.util.Optional;

/**
 * What to quantise, and how.
 *
 * @param base a model directory, or a GGUF file, of plain values
 * @param config of the linears
 * @param computeDtype what config.json tells others to compute in; empty: the base's dtype
 * @param maxShardBytes most bytes of a file's tensors
 * @param output a directory that is not there yet
 */
public record QuantizeRequest(
    Path base, QuantConfig config, Optional<DType> computeDtype, long maxShardBytes, Path output) {}
