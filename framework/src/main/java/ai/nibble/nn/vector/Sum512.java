package ai.nibble.nn.vector;

import java.nio.ByteBuffer;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;

/**
 * Sums of bfloat16 rows in 512-bit registers: added in float32, one after the other, rounded once.
 */
public final class Sum512 {
  private Sum512() {}

  /**
   * {@code to = a + b + c}.
   *
   * @param a rows that begin {@code stride} bytes apart; the others lie one after the other
   * @param b null for none, as c
   * @param width a multiple of {@link Pairs512#UNIT}
   */
  public static void add(
      ByteBuffer a, int stride, ByteBuffer b, ByteBuffer c, ByteBuffer to, int rows, int width) {
    int bytes = Short.BYTES * width;
    for (int r = 0; r < rows; r++) {
      for (int i = 0; i < bytes; i += Pairs512.BYTES) {
        IntVector pairs = Pairs512.load(a, r * stride + i);
        FloatVector even = Pairs512.even(pairs);
        FloatVector odd = Pairs512.odd(pairs);
        int at = r * bytes + i;
        if (b != null) {
          IntVector more = Pairs512.load(b, at);
          even = even.add(Pairs512.even(more));
          odd = odd.add(Pairs512.odd(more));
        }
        if (c != null) {
          IntVector more = Pairs512.load(c, at);
          even = even.add(Pairs512.even(more));
          odd = odd.add(Pairs512.odd(more));
        }
        Pairs512.store(even, odd, to, at);
      }
    }
  }
}
