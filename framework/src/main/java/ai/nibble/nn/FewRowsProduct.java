package ai.nibble.nn;

import ai.nibble.tensor.Tensor;

/** A group's outputs for a few rows, from weights as they lie quantised. */
interface FewRowsProduct extends AutoCloseable {
  /**
   * The group's outputs.
   *
   * @param input {@code [N, in]} in the compute dtype
   * @return {@code [N, out]} in the compute dtype; the caller closes it
   */
  Tensor apply(Tensor input);

  @Override
  void close();
}
