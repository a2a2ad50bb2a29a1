package ai.nibble.data.stored;

import ai.nibble.data.EncodingSummary;
import ai.nibble.data.Example;
import ai.nibble.data.Example.Kind;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;

/** How the parts of a file are written and read; the package's description has the whole. */
final class Layout {
  static final byte[] MAGIC = "NIBBLEX2".getBytes(StandardCharsets.US_ASCII);
  static final int KEY_BYTES = 32;
  private static final int SUMMARY_BYTES = 13 * Long.BYTES;

  /** From the summary to the end. */
  static final int TRAILER_BYTES = SUMMARY_BYTES + KEY_BYTES + Integer.BYTES + MAGIC.length;

  private Layout() {}

  static ByteBuffer buffer(int bytes) {
    return ByteBuffer.allocate(bytes).order(ByteOrder.LITTLE_ENDIAN);
  }

  /** Bytes of an example of n tokens. */
  static int bytes(int n) {
    return Math.addExact(Math.multiplyExact(Math.addExact(n, 1), Integer.BYTES), (n + 7) / 8);
  }

  /** Tokens of an example of so many bytes: behind 4, 33 bits each, and less than 8 more. */
  static int tokens(long bytes) {
    return (int) ((bytes - Integer.BYTES) * 8 / 33);
  }

  /** A row's kind as a number: of a pair where its second sequence begins, others 0 or less. */
  private static int mark(Example example) {
    return switch (example.kind()) {
      case PLAIN -> 0;
      case PAIR -> example.second();
      case DESIRABLE -> -1;
      case UNDESIRABLE -> -2;
    };
  }

  private static Kind kind(int mark) {
    return switch (Integer.signum(mark)) {
      case 0 -> Kind.PLAIN;
      case 1 -> Kind.PAIR;
      default -> mark == -1 ? Kind.DESIRABLE : Kind.UNDESIRABLE;
    };
  }

  static void put(ByteBuffer to, Example example) {
    int[] ids = example.inputIds();
    int[] labels = example.labels();
    byte[] mask = new byte[(ids.length + 7) / 8];
    to.putInt(mark(example));
    for (int i = 0; i < ids.length; i++) {
      if (labels[i] != Example.IGNORED) {
        if (labels[i] != ids[i]) {
          throw new IllegalArgumentException("label " + labels[i] + " of token " + ids[i]);
        }
        mask[i / 8] |= (byte) (1 << i % 8);
      }
      to.putInt(ids[i]);
    }
    to.put(mask);
  }

  /**
   * @param from all bytes of an example
   */
  static Example example(ByteBuffer from) {
    int[] ids = new int[tokens(from.remaining())];
    int mark = from.getInt();
    from.asIntBuffer().get(ids);
    int mask = from.position() + ids.length * Integer.BYTES;
    int[] labels = new int[ids.length];
    for (int i = 0; i < ids.length; i++) {
      boolean loss = (from.get(mask + i / 8) >> i % 8 & 1) != 0;
      labels[i] = loss ? ids[i] : Example.IGNORED;
    }
    Kind kind = kind(mark);
    return new Example(ids, labels, kind, kind == Kind.PAIR ? mark : ids.length, new double[0]);
  }

  static void put(ByteBuffer to, EncodingSummary s) {
    to.putLong(s.rows()).putLong(s.examples()).putLong(s.tokens()).putLong(s.lossTokens());
    to.putLong(s.longest()).putLong(s.highestId()).putLong(s.tooLong()).putLong(s.truncated());
    to.putLong(s.withoutLoss()).putLong(s.callsAsText()).putLong(s.toolsUnseen());
    to.putLong(s.controlsAsText()).putLong(s.alike());
  }

  static EncodingSummary summary(ByteBuffer from) {
    return new EncodingSummary(
        from.getLong(),
        from.getLong(),
        from.getLong(),
        from.getLong(),
        Math.toIntExact(from.getLong()),
        Math.toIntExact(from.getLong()),
        from.getLong(),
        from.getLong(),
        from.getLong(),
        from.getLong(),
        from.getLong(),
        from.getLong(),
        from.getLong());
  }
}
