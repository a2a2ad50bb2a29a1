package ai.nibble.nn.vector;

import java.lang.invoke.MethodHandle;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.MethodType;
import java.nio.Buffer;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorSpecies;

/**
 * How a JDK reads a register from a byte buffer and writes it there. JDK 17 and 18 have methods for
 * it; those since have them for memory segments instead (JEP 426), which JDK 17 does not know, so
 * they are looked up.
 */
final class BufferAccess {
  private static final String SEGMENT = "java.lang.foreign.MemorySegment";

  private BufferAccess() {}

  /** Whether there are methods for byte buffers. */
  static boolean isDirect() {
    try {
      IntVector.class.getMethod(
          "fromByteBuffer", VectorSpecies.class, ByteBuffer.class, int.class, ByteOrder.class);
      return true;
    } catch (NoSuchMethodException e) {
      return false;
    }
  }

  /** {@code (ByteBuffer, int) → IntVector}: little-endian, from a byte on; null if not known. */
  static MethodHandle load(VectorSpecies<Integer> species) {
    return bySegment(
        (lookup, segment) ->
            MethodHandles.insertArguments(
                lookup.findStatic(
                    IntVector.class,
                    "fromMemorySegment",
                    MethodType.methodType(
                        IntVector.class,
                        VectorSpecies.class,
                        segment,
                        long.class,
                        ByteOrder.class)),
                0,
                species),
        0,
        MethodType.methodType(IntVector.class, ByteBuffer.class, int.class));
  }

  /** {@code (IntVector, ByteBuffer, int)}, as {@link #load}. */
  static MethodHandle store() {
    return bySegment(
        (lookup, segment) ->
            lookup.findVirtual(
                IntVector.class,
                "intoMemorySegment",
                MethodType.methodType(void.class, segment, long.class, ByteOrder.class)),
        1,
        MethodType.methodType(void.class, IntVector.class, ByteBuffer.class, int.class));
  }

  private interface Access {
    MethodHandle find(MethodHandles.Lookup lookup, Class<?> segment)
        throws ReflectiveOperationException;
  }

  /**
   * @param access ends with {@code (…, MemorySegment, long, ByteOrder)}
   * @param at index of the segment
   */
  private static MethodHandle bySegment(Access access, int at, MethodType type) {
    try {
      MethodHandles.Lookup lookup = MethodHandles.lookup();
      Class<?> segment = Class.forName(SEGMENT);
      MethodHandle found = access.find(lookup, segment);
      MethodHandle little = MethodHandles.insertArguments(found, at + 2, ByteOrder.LITTLE_ENDIAN);
      MethodHandle of =
          lookup.findStatic(segment, "ofBuffer", MethodType.methodType(segment, Buffer.class));
      return MethodHandles.filterArguments(little, at, of).asType(type);
    } catch (ReflectiveOperationException e) {
      return null;
    }
  }
}
