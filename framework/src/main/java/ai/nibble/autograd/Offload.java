package ai.nibble.autograd;

import ai.nibble.tensor.Device;
import ai.nibble.tensor.HostCopies;
import ai.nibble.tensor.Scope;
import ai.nibble.tensor.Tensor;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.HashMap;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * Puts what checkpoints keep into the main memory while it is not read. Of those put last two are
 * on the device: one that is being copied out while the next part computes, or in backward one that
 * is read and the one before it, which is being copied in meanwhile. Backward takes in the reverse
 * order. Used by one thread.
 */
public final class Offload implements AutoCloseable {
  /** Checkpoints whose tensors may be on the device. */
  public static final int ON_DEVICE = 2;

  private final Map<Device, HostCopies> copies = new HashMap<>();

  /** What was put and not taken, the last first. */
  private final Deque<Parcel> parcels = new ArrayDeque<>();

  /** Whether a device has anything to gain. */
  public static boolean serves(Device device) {
    return HostCopies.serve(device);
  }

  /** What one checkpoint keeps. */
  final class Parcel implements AutoCloseable {
    private final List<Item> items = new ArrayList<>();

    private Parcel(List<Tensor> tensors) {
      tensors.forEach(tensor -> items.add(new Item(tensor)));
    }

    /** The tensors, readable by what is queued next; the caller closes them. */
    List<Tensor> take() {
      if (parcels.peek() != this) {
        throw new IllegalStateException("checkpoints are taken back in another order than put");
      }
      parcels.pop();
      items.forEach(Item::bring);
      List<Tensor> tensors = items.stream().map(Item::hand).toList();
      Optional.ofNullable(parcels.peek()).ifPresent(before -> before.items.forEach(Item::begin));
      return tensors;
    }

    /** Gives up what was not taken. */
    @Override
    public void close() {
      parcels.remove(this);
      items.forEach(Item::close);
    }
  }

  /** A tensor on the device, on the host or on its way. */
  private final class Item implements AutoCloseable {
    private Tensor tensor;
    private HostCopies.Copy copy;

    Item(Tensor tensor) {
      this.tensor = tensor;
      if (tensor.isContiguous()) {
        Device device = tensor.device();
        copy = copies.computeIfAbsent(device, HostCopies::of).begin(tensor);
      } // others stay where they are
    }

    /** Off the device: what is computed next may have the memory, after the copy. */
    void leave() {
      if (copy != null && tensor != null) {
        copy.arrive();
        tensor.close();
        tensor = null;
      }
    }

    /** On the way back, unless it is still there. */
    void begin() {
      if (tensor == null) {
        tensor = copy.back();
      }
    }

    /** There, for what is computed next; also, its copy out has been made by then. */
    void bring() {
      begin();
      if (copy != null) {
        copy.arrive();
      }
    }

    Tensor hand() {
      Tensor handed = tensor;
      tensor = null;
      close();
      return handed;
    }

    @Override
    public void close() {
      if (copy != null) {
        if (tensor != null) {
          copy.arrive();
        }
        copy.close();
        copy = null;
      }
      if (tensor != null) {
        tensor.close();
        tensor = null;
      }
    }
  }

  /**
   * Puts tensors aside, and has what was put two times before leave the device.
   *
   * @param tensors taken over
   */
  Parcel put(List<Tensor> tensors) {
    Parcel parcel = new Parcel(tensors);
    parcels.push(parcel);
    if (parcels.size() > ON_DEVICE) {
      Iterator<Parcel> from = parcels.iterator();
      for (int i = 0; i < ON_DEVICE; i++) {
        from.next();
      }
      from.next().items.forEach(Item::leave);
    }
    return parcel;
  }

  /** Frees the main memory; what was put has been taken or given up by then. */
  @Override
  public void close() {
    try (Scope scope = new Scope()) {
      copies.values().forEach(scope::own);
      copies.clear();
    }
  }
}
