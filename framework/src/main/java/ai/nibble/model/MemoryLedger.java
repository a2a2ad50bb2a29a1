package ai.nibble.model;

import java.util.EnumMap;
import java.util.Map;

/** Adds up what a pass holds as it goes on, and remembers the moment of the most. */
final class MemoryLedger {
  private final Map<MemoryPart, Long> held = new EnumMap<>(MemoryPart.class);
  private Map<MemoryPart, Long> atPeak = Map.of();
  private long total;
  private long peak = -1;

  /** Memory that several may hold, given up by the last of them. */
  final class Value {
    private final MemoryPart part;
    private final long bytes;
    private int holders = 1;

    private Value(MemoryPart part, long bytes) {
      this.part = part;
      this.bytes = bytes;
      add(part, bytes);
      look(part, 0);
    }

    Value share() {
      holders++;
      return this;
    }

    /** As much anew, where this was given up. */
    Value again() {
      return take(part, bytes);
    }

    long bytes() {
      return bytes;
    }

    void close() {
      holders--;
      if (holders == 0) {
        add(part, -bytes);
      }
      if (holders < 0) {
        throw new IllegalStateException("closed once more than it was shared");
      }
    }
  }

  Value take(MemoryPart part, long bytes) {
    return new Value(part, bytes);
  }

  /** Something that lives for a moment, beside all that is held. */
  void touch(MemoryPart part, long bytes) {
    look(part, bytes);
  }

  private void add(MemoryPart part, long bytes) {
    held.merge(part, bytes, Long::sum);
    total += bytes;
  }

  private void look(MemoryPart part, long more) {
    if (total + more > peak) {
      peak = total + more;
      atPeak = new EnumMap<>(held);
      atPeak.merge(part, more, Long::sum);
    }
  }

  /** Bytes held now. */
  long held() {
    return total;
  }

  /** What was held for each purpose when it was the most. */
  Map<MemoryPart, Long> atPeak() {
    return atPeak;
  }
}
