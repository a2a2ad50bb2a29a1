package ai.nibble.nn;

import ai.nibble.tensor.Tensor;

/**
 * A trained tensor: views of the flat float32 buffers that hold all of them.
 *
 * @param name the name it is saved under
 * @param value float32
 * @param grad float32, of the same shape; backward adds to it
 */
public record Parameter(String name, Tensor value, Tensor grad) {}
