package ai.nibble.export.merge;

import ai.nibble.InvalidInputException;
import ai.nibble.quant.QuantConfig;
import java.nio.file.Path;
import java.util.Optional;

/**
 * Of which difference an adapter is to be made.
 *
 * @param base a Hugging Face directory or a GGUF file
 * @param quantization of the base's linears before the difference is taken; empty for none
 * @param tuned a model of the same shape
 * @param rank of every module's product
 * @param output a new directory
 */
public record ExtractRequest(
    Path base, Optional<QuantConfig> quantization, Path tuned, int rank, Path output) {
  /**
   * @throws InvalidInputException if the rank is below 1
   */
  public ExtractRequest {
    if (rank < 1) {
      throw new InvalidInputException("--rank is " + rank + ", expected at least 1");
    }
  }
}
