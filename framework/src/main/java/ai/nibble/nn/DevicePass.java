package ai.nibble.nn;

import ai.nibble.tensor.Device;
import ai.nibble.tensor.FusedAttention.Sequences;
import ai.nibble.tensor.Scope;
import ai.nibble.tensor.Tensor;
import java.util.BitSet;
import java.util.HashMap;
import java.util.Map;

/**
 * Where a pass's tokens are, as kernels read it: copied once a pass, when it is first asked for.
 */
final class DevicePass implements AutoCloseable {
  private final Scope scope = new Scope();
  private final Device device;
  private final Pass pass;
  private final int[] before;
  private final RotaryTable table;
  private final Tensor cos;
  private final Tensor sin;
  private final Map<Integer, Sequences> newTokens = new HashMap<>();
  private final Map<Integer, Sequences> allTokens = new HashMap<>();
  private Tensor rows;
  private Sequences sequences;
  private Sequences keySequences;
  private Tensor keyRows;

  /**
   * @param cos float32 {@code [P, R/2]}, P above every position; where the table {@linkplain
   *     RotaryTable#switches switches}, {@code [2P, R/2]}, those of longer sequences behind the
   *     others. Stays the caller's, as {@code sin}
   */
  DevicePass(Device device, Pass pass, RotaryTable table, Tensor cos, Tensor sin) {
    this.device = device;
    this.pass = pass;
    this.table = table;
    this.before = pass.caches().stream().mapToInt(KvCache::length).toArray();
    this.cos = scope.own(cos.share());
    this.sin = scope.own(sin.share());
  }

  /** Cosines of the {@link #rows}, float32 {@code [P, R/2]} or twice as many. */
  Tensor cos() {
    return cos;
  }

  /** Sines, likewise. */
  Tensor sin() {
    return sin;
  }

  /**
   * Cosines or sines of the positions of a sequence with a cache; the caller closes them.
   *
   * @param both {@link #cos} or {@link #sin}
   */
  Tensor ofSequence(int sequence, Tensor both) {
    boolean isLong = table.isLong(before[sequence] + length(sequence));
    return both.narrow(0, isLong ? longFirst() : 0, longFirst() > 0 ? longFirst() : both.size(0));
  }

  /** Where the angles of longer sequences begin; 0 where they have none of their own. */
  private long longFirst() {
    return table.switches() ? cos.size(0) / 2 : 0;
  }

  /** Which row of {@link #cos} each token's angles are, int32 {@code [N]}. */
  Tensor rows() {
    if (rows == null) {
      int[] all = pass.positions();
      BitSet inLong = before.length > 0 ? inLong() : HeadLayout.inLong(table, pass, all);
      for (int s = 0; s < pass.sequences(); s++) {
        for (int t = pass.sequenceStarts()[s]; t < pass.sequenceStarts()[s + 1]; t++) {
          all[t] += (before.length > 0 ? before[s] : 0) + (inLong.get(t) ? (int) longFirst() : 0);
        }
      }
      rows = scope.own(Tensor.ofInts(device, all));
    }
    return rows;
  }

  /** Tokens of sequences with a cache that have the angles of longer ones. */
  private BitSet inLong() {
    BitSet inLong = new BitSet();
    for (int s = 0; s < before.length; s++) {
      boolean isLong = table.isLong(before[s] + length(s));
      inLong.set(pass.sequenceStarts()[s], pass.sequenceStarts()[s + 1], isLong);
    }
    return inLong;
  }

  /** The sequences of the pass. */
  Sequences sequences() {
    if (sequences == null) {
      sequences = sequences(pass.sequenceStarts());
    }
    return sequences;
  }

  /** The keys that each sequence sees: its own, after its trunk's if it is a branch. */
  Sequences keySequences() {
    if (pass.trunks().length == 0) {
      return sequences();
    }
    if (keySequences == null) {
      int[] starts = new int[pass.sequences() + 1];
      for (int s = 0; s < pass.sequences(); s++) {
        starts[s + 1] = starts[s] + beforeBranch(s) + length(s);
      }
      keySequences = sequences(starts);
    }
    return keySequences;
  }

  /**
   * Which token each key of {@link #keySequences} is, int64 {@code [keys]}; null where they are the
   * pass's tokens as they lie.
   */
  Tensor keyRows() {
    if (keyRows == null && pass.trunks().length > 0) {
      int[] rows = new int[(int) keyCount()];
      int at = 0;
      for (int s = 0; s < pass.sequences(); s++) {
        for (int t = 0; t < beforeBranch(s); t++) {
          rows[at++] = pass.sequenceStarts()[pass.trunk(s)] + t;
        }
        for (int t = 0; t < length(s); t++) {
          rows[at++] = pass.sequenceStarts()[s] + t;
        }
      }
      keyRows = scope.own(Tensor.ofIndices(device, rows));
    }
    return keyRows;
  }

  private long keyCount() {
    long count = pass.tokens();
    for (int s = 0; s < pass.sequences(); s++) {
      count += beforeBranch(s);
    }
    return count;
  }

  /** Tokens of a branch's trunk; 0 for a sequence that begins by itself. */
  private int beforeBranch(int sequence) {
    return pass.trunk(sequence) == sequence ? 0 : length(pass.trunk(sequence));
  }

  private int length(int sequence) {
    return pass.sequenceStarts()[sequence + 1] - pass.sequenceStarts()[sequence];
  }

  /** The new tokens of a sequence with a cache, by themselves. */
  Sequences newTokens(int sequence) {
    return newTokens.computeIfAbsent(sequence, s -> sequences(0, length(s)));
  }

  /** All tokens of a sequence with a cache, those that it holds first. */
  Sequences allTokens(int sequence) {
    return allTokens.computeIfAbsent(sequence, s -> sequences(0, before[s] + length(s)));
  }

  private Sequences sequences(int... starts) {
    int longest = 0;
    for (int s = 0; s + 1 < starts.length; s++) {
      longest = Math.max(longest, starts[s + 1] - starts[s]);
    }
    return new Sequences(scope.own(Tensor.ofInts(device, starts)), longest, starts);
  }

  @Override
  public void close() {
    scope.close();
  }
}
