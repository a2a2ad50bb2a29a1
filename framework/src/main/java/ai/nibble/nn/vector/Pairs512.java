package ai.nibble.nn.vector;

import java.lang.invoke.MethodHandle;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorSpecies;

/**
 * bfloat16 in memory, 32 elements at a time, as 16 ints: the lower half of each is an element of
 * even index, the upper half the next. As float32 they are two registers, one of even and one of
 * odd elements. What meets them is <em>split</em> likewise: of each 32 elements the 16 of even
 * index come first.
 */
public final class Pairs512 {
  /** Elements taken at a time. */
  public static final int UNIT = 32;

  static final int LANES = 16;

  /** Bytes taken at a time. */
  static final int BYTES = 64;

  static final VectorSpecies<Float> F = FloatVector.SPECIES_512;
  private static final VectorSpecies<Integer> I = IntVector.SPECIES_512;

  /** The half of an int that is the element of odd index. */
  private static final int ODD = 0xFFFF0000;

  /** Whether this JDK reads and writes registers through byte buffers: 17 and 18 do. */
  private static final boolean BY_BUFFER = BufferAccess.isDirect();

  private static final MethodHandle LOAD = BY_BUFFER ? null : BufferAccess.load(I);
  private static final MethodHandle STORE = BY_BUFFER ? null : BufferAccess.store();

  private Pairs512() {}

  /** Whether this JDK reads and writes registers outside its heap in a way that is known here. */
  public static boolean isSupported() {
    return BY_BUFFER || LOAD != null && STORE != null;
  }

  /** A copy of values, a multiple of {@link #UNIT}, in split order. */
  public static float[] split(float[] values) {
    float[] split = new float[values.length];
    for (int c = 0; c < values.length; c++) {
      split[c / UNIT * UNIT + c % 2 * LANES + c % UNIT / 2] = values[c];
    }
    return split;
  }

  /** 32 elements from byte {@code at} on. */
  static IntVector load(ByteBuffer from, int at) {
    if (BY_BUFFER) {
      return IntVector.fromByteBuffer(I, from, at, ByteOrder.LITTLE_ENDIAN);
    }
    try {
      return (IntVector) LOAD.invokeExact(from, at);
    } catch (Throwable e) {
      throw Apart.failure(e);
    }
  }

  static FloatVector even(IntVector pairs) {
    return pairs.lanewise(VectorOperators.LSHL, 16).reinterpretAsFloats();
  }

  static FloatVector odd(IntVector pairs) {
    return pairs.and(ODD).reinterpretAsFloats();
  }

  /** Rounded to bfloat16, as float32. */
  static FloatVector round(FloatVector values) {
    return nearest(values).and(ODD).reinterpretAsFloats();
  }

  /** Writes 32 elements, rounded to nearest even, from byte {@code at} on. */
  static void store(FloatVector even, FloatVector odd, ByteBuffer to, int at) {
    IntVector pairs = nearest(even).lanewise(VectorOperators.LSHR, 16).or(nearest(odd).and(ODD));
    if (BY_BUFFER) {
      pairs.intoByteBuffer(to, at, ByteOrder.LITTLE_ENDIAN);
      return;
    }
    try {
      STORE.invokeExact(pairs, to, at);
    } catch (Throwable e) {
      throw Apart.failure(e);
    }
  }

  /**
   * Bits whose upper half is the value rounded to nearest even. A NaN stays one: what makes a NaN
   * here, a register or a bfloat16, leaves its lower half zero, so that nothing carries.
   */
  private static IntVector nearest(FloatVector values) {
    IntVector bits = values.reinterpretAsInts();
    return bits.add(bits.lanewise(VectorOperators.LSHR, 16).and(1)).add(0x7FFF);
  }
}
