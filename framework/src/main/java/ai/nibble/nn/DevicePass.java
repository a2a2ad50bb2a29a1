package ai.nibble.nn;

import ai.nibble.tensor.Device;
import ai.nibble.tensor.FlashAttention.Sequences;
import ai.nibble.tensor.Tensor;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;

/**
 * Where a pass's tokens are, as kernels read it: made once a pass, since every copy to a device
 * makes the host wait.
 *
 * @param positions int32 {@code [N]}, of each token in its sequence
 * @param sequences of the pass
 * @param cached of a pass with caches, for each sequence: its new tokens by themselves, and then
 *     all of them, those that its cache holds included
 * @param cos float32 {@code [P, D/2]}, P above every position
 * @param sin likewise
 */
record DevicePass(
    Tensor positions, Sequences sequences, List<Sequences> cached, Tensor cos, Tensor sin)
    implements AutoCloseable {

  /**
   * @param cos stays the caller's, as {@code sin}
   */
  static DevicePass of(Device device, Pass pass, Tensor cos, Tensor sin) {
    int[] starts = pass.sequenceStarts();
    int[] positions = pass.positions();
    List<Sequences> cached = new ArrayList<>();
    int longest = 0;
    for (int s = 0; s + 1 < starts.length; s++) {
      int tokens = starts[s + 1] - starts[s];
      longest = Math.max(longest, tokens);
      if (!pass.caches().isEmpty()) {
        int before = pass.caches().get(s).length();
        for (int t = starts[s]; t < starts[s + 1]; t++) {
          positions[t] += before;
        }
        cached.add(sequences(device, tokens, 0, tokens));
        cached.add(sequences(device, before + tokens, 0, before + tokens));
      }
    }
    return new DevicePass(
        Tensor.ofInts(device, positions),
        sequences(device, longest, starts),
        cached,
        cos.share(),
        sin.share());
  }

  private static Sequences sequences(Device device, int longest, int... starts) {
    return new Sequences(Tensor.ofInts(device, starts), longest);
  }

  /** The new tokens of a sequence with a cache, by themselves. */
  Sequences newTokens(int sequence) {
    return cached.get(2 * sequence);
  }

  /** All tokens of a sequence with a cache. */
  Sequences allTokens(int sequence) {
    return cached.get(2 * sequence + 1);
  }

  @Override
  public void close() {
    Stream.of(positions, sequences.starts(), cos, sin).forEach(Tensor::close);
    cached.forEach(sequence -> sequence.starts().close());
  }
}
