package ai.nibble.nn.vector;

import java.lang.invoke.MethodHandle;
import java.lang.invoke.MethodHandles;
import java.lang.reflect.Method;
import java.util.Arrays;

/**
 * Methods that HotSpot compiles each by itself. Taken into their caller, several loops over
 * registers exceed what it takes into one piece of code; it then calls the operations of the last
 * ones, which allocate an object for each register and are ten times slower. What a field that is
 * not final refers to is not taken in.
 */
final class Apart {
  private Apart() {}

  /** The method of the looking class with that name, of which it has one. */
  static MethodHandle method(MethodHandles.Lookup lookup, String name) {
    Method method =
        Arrays.stream(lookup.lookupClass().getDeclaredMethods())
            .filter(m -> m.getName().equals(name))
            .findFirst()
            .orElseThrow();
    try {
      return lookup.unreflect(method);
    } catch (IllegalAccessException e) {
      throw new IllegalStateException(e);
    }
  }

  /** What such a method threw, as the caller throws it on. */
  static RuntimeException failure(Throwable thrown) {
    if (thrown instanceof Error error) {
      throw error;
    }
    return thrown instanceof RuntimeException e ? e : new IllegalStateException(thrown);
  }
}
