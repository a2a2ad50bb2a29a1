package ai.nibble.nn.vector;

import java.nio.ByteBuffer;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;

/** Rotary positions of bfloat16 heads in 512-bit registers. */
public final class Rotary512 {
  private Rotary512() {}

  /**
   * Rotates heads that lie side by side by one position's angles: {@code (a, b)} of a head's two
   * halves becomes {@code (a·cos − b·sin, b·cos + a·sin)}.
   *
   * @param from holds the heads from byte {@code at} on
   * @param to receives them from byte {@code toAt} on
   * @param half of a head's elements, a multiple of {@link Pairs512#UNIT}
   * @param cos from {@code first} on, half as many as a head has, split; as sin
   * @param direction 1, or −1 for the inverse rotation
   */
  public static void rotate(
      ByteBuffer from,
      int at,
      ByteBuffer to,
      int toAt,
      int heads,
      int half,
      float[] cos,
      float[] sin,
      int first,
      float direction) {
    int bytes = Short.BYTES * half;
    for (int h = 0; h < 2 * heads * bytes; h += 2 * bytes) {
      for (int c = 0; c < half; c += Pairs512.UNIT) {
        int p = at + h + Short.BYTES * c;
        int q = toAt + h + Short.BYTES * c;
        IntVector left = Pairs512.load(from, p);
        IntVector right = Pairs512.load(from, p + bytes);
        FloatVector evenCos = FloatVector.fromArray(Pairs512.F, cos, first + c);
        FloatVector evenSin = FloatVector.fromArray(Pairs512.F, sin, first + c).mul(direction);
        FloatVector a = Pairs512.even(left);
        FloatVector b = Pairs512.even(right);
        FloatVector evenA = a.mul(evenCos).sub(b.mul(evenSin));
        FloatVector evenB = b.mul(evenCos).add(a.mul(evenSin));
        FloatVector oddCos = FloatVector.fromArray(Pairs512.F, cos, first + c + Pairs512.LANES);
        FloatVector oddSin =
            FloatVector.fromArray(Pairs512.F, sin, first + c + Pairs512.LANES).mul(direction);
        a = Pairs512.odd(left);
        b = Pairs512.odd(right);
        Pairs512.store(evenA, a.mul(oddCos).sub(b.mul(oddSin)), to, q);
        Pairs512.store(evenB, b.mul(oddCos).add(a.mul(oddSin)), to, q + bytes);
      }
    }
  }
}
