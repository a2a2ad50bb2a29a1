package ai.nibble.model;

import ai.nibble.autograd.Offload;
import ai.nibble.model.MemoryLedger.Value;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.Iterator;
import java.util.List;

/**
 * The memory of an {@link Offload} without the copies: which values are on the device when, and
 * what lies on the host at most.
 */
final class MemoryOffload {
  private final Deque<Parcel> parcels = new ArrayDeque<>();
  private long held;
  private long most;

  /** What one checkpoint keeps. */
  final class Parcel {
    private final List<Value> values;
    private final List<Value> gone = new ArrayList<>();

    private Parcel(List<Value> values) {
      this.values = new ArrayList<>(values);
    }

    private long bytes() {
      return values.stream().mapToLong(Value::bytes).sum();
    }

    private void leave() {
      if (gone.isEmpty()) {
        values.forEach(Value::close);
        gone.addAll(values);
      }
    }

    private void bring() {
      if (!gone.isEmpty()) {
        values.replaceAll(Value::again);
        gone.clear();
      }
    }

    /** The values, the taker's to close; those put before begin to come. */
    List<Value> take() {
      parcels.pop();
      bring();
      held -= bytes();
      if (!parcels.isEmpty()) {
        parcels.peek().bring();
      }
      return values;
    }
  }

  /** Takes values over. */
  Parcel put(List<Value> values) {
    Parcel parcel = new Parcel(values);
    parcels.push(parcel);
    held += parcel.bytes();
    most = Math.max(most, held);
    if (parcels.size() > Offload.ON_DEVICE) {
      Iterator<Parcel> from = parcels.iterator();
      for (int i = 0; i < Offload.ON_DEVICE; i++) {
        from.next();
      }
      from.next().leave();
    }
    return parcel;
  }

  /** The most bytes on the host. */
  long most() {
    return most;
  }
}
