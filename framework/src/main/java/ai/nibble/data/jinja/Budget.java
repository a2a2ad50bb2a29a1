package ai.nibble.data.jinja;

/**
 * What one render may spend: time, loop steps, call depth and memory. A template is data from
 * elsewhere, so each of these is bounded whatever it asks for.
 */
final class Budget {
  static final int MAX_TEMPLATE = 256 << 10;
  static final int MAX_TEXT = 16 << 20;
  static final int MAX_LIST = 1 << 20;
  static final int MAX_RANGE = 100_000;
  static final int MAX_STEPS = 1_000_000;
  static final int MAX_DEPTH = 64;

  /** Of values inside values, when printing, comparing or reading them. */
  static final int MAX_VALUE_DEPTH = 200;

  // Nested blocks and expressions of all running macros together: bounds the Java stack.
  private static final int MAX_FRAMES = 1000;
  // Characters and list elements made in one render, so that many values below the single limits
  // cannot fill the heap either.
  private static final long MAX_MADE = 96L << 20;
  private static final long MAX_NANOS = 2_000_000_000L;
  private static final long WORK_BETWEEN_CLOCK_READINGS = 1 << 16;

  private final long start = System.nanoTime();
  private long steps;
  private long made;
  private long work;
  private int calls;
  private int frames;

  static void checkText(long length) {
    if (length > MAX_TEXT) {
      throw new TemplateError("a text would exceed " + MAX_TEXT + " characters");
    }
  }

  static void checkList(long length) {
    if (length > MAX_LIST) {
      throw new TemplateError("a list would exceed " + MAX_LIST + " elements");
    }
  }

  /** One turn of a loop. */
  void step() {
    if (++steps > MAX_STEPS) {
      throw new TemplateError("more than " + MAX_STEPS + " loop steps");
    }
    work(16);
  }

  /** Work of about {@code n} nanoseconds; reads the clock now and then. */
  void work(long n) {
    work += n + 1;
    if (work >= WORK_BETWEEN_CLOCK_READINGS) {
      work = 0;
      if (System.nanoTime() - start > MAX_NANOS) {
        throw new TemplateError("rendering took longer than 2 seconds");
      }
    }
  }

  /** A search of a text for another: Java's own cannot be interrupted, so its worst case is. */
  void search(int length, int wanted) {
    long worst = (long) length * wanted;
    if (worst > 1L << 30) {
      throw new TemplateError("a search of " + length + " characters for " + wanted);
    }
    work(length);
  }

  /** A value that an operation made. */
  <T> T made(T value) {
    long size = 1;
    if (value instanceof Str str) {
      checkText(str.length());
      size = str.length();
    } else if (value instanceof Seq seq) {
      checkList(seq.items().size());
      size = 8L * seq.items().size();
    } else if (value instanceof java.util.Map<?, ?> map) {
      size = 32L * map.size();
    }
    made += size;
    if (made > MAX_MADE) {
      throw new TemplateError("the values made exceed " + MAX_MADE + " characters");
    }
    work(size);
    return value;
  }

  void enterCall(int depth) {
    if (calls >= MAX_DEPTH || frames + depth > MAX_FRAMES) {
      throw new TemplateError("macros call each other deeper than " + calls + " levels");
    }
    calls++;
    frames += depth;
  }

  void leaveCall(int depth) {
    calls--;
    frames -= depth;
  }
}
