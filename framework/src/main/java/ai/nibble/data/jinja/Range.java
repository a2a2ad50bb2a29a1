package ai.nibble.data.jinja;

import java.util.AbstractList;
import java.util.RandomAccess;

/** The numbers of {@code range(start, stop, step)}, at most {@link Budget#MAX_RANGE} of them. */
final class Range extends AbstractList<Object> implements RandomAccess {
  private final long start;
  private final long stop;
  private final long step;
  private final int size;

  private Range(long start, long stop, long step, int size) {
    this.start = start;
    this.stop = stop;
    this.step = step;
    this.size = size;
  }

  static Seq of(long start, long stop, long step) {
    if (step == 0) {
      throw new TemplateError("range() arg 3 must not be zero");
    }
    // As doubles, so that no difference wraps; exact wherever the size is one that is allowed.
    double size = Math.max(0, Math.ceil(((double) stop - (double) start) / step));
    if (size > Budget.MAX_RANGE) {
      throw new TemplateError("range() of more than " + Budget.MAX_RANGE + " numbers");
    }
    return new Seq(new Range(start, stop, step, (int) size), "range");
  }

  long start() {
    return start;
  }

  long stop() {
    return stop;
  }

  long step() {
    return step;
  }

  @Override
  public Object get(int index) {
    return start + index * step;
  }

  @Override
  public int size() {
    return size;
  }
}
