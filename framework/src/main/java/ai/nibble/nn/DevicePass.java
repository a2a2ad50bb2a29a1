package ai.nibble.nn;

import ai.nibble.tensor.Device;
import ai.nibble.tensor.Tensor;
import java.util.stream.Stream;

/**
 * Where a pass's tokens are, as kernels read it: made once a pass, since every copy to a device
 * makes the host wait.
 *
 * @param positions int32 {@code [N]}, of each token in its sequence
 * @param starts int32 {@code [sequences + 1]}
 * @param longest tokens of the longest sequence
 * @param cos float32 {@code [P, D/2]}, P above every position
 * @param sin likewise
 */
record DevicePass(Tensor positions, Tensor starts, int longest, Tensor cos, Tensor sin)
    implements AutoCloseable {

  /**
   * @param cos stays the caller's, as {@code sin}
   */
  static DevicePass of(Device device, Pass pass, Tensor cos, Tensor sin) {
    int[] starts = pass.sequenceStarts();
    int longest = 0;
    for (int s = 0; s + 1 < starts.length; s++) {
      longest = Math.max(longest, starts[s + 1] - starts[s]);
    }
    return new DevicePass(
        Tensor.ofInts(device, pass.positions()),
        Tensor.ofInts(device, starts),
        longest,
        cos.share(),
        sin.share());
  }

  @Override
  public void close() {
    Stream.of(positions, starts, cos, sin).forEach(Tensor::close);
  }
}
