package ai.nibble.nn;

import ai.nibble.tensor.DType;
import ai.nibble.tensor.Device;
import ai.nibble.tensor.Rows;
import ai.nibble.tensor.Scope;
import ai.nibble.tensor.Tensor;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;

/**
 * One sequence's rotated keys and its values in every layer, so that its next token is computed
 * without computing what came before again. Room for all positions is allocated at once; the kernel
 * gives the pages as they are written.
 *
 * <p>Held head-major, {@code [kvHeads, capacity, headDim]} a layer, in the dtype of matrix products
 * ({@link Precision#product}) where the layer is, in which attention reads them without converting.
 */
public final class KvCache implements AutoCloseable {
  private final Scope scope = new Scope();
  private final Tensor[] keys;
  private final Tensor[] values;
  private final ByteBuffer[] keyBytes;
  private final ByteBuffer[] valueBytes;
  private final int capacity;
  private final int[] ids;
  private int computedAt;
  private int length;

  /**
   * @param layers of the model
   * @param capacity most tokens of the sequence
   */
  public KvCache(int layers, int keyValueHeads, int headDim, int capacity, Precision precision) {
    this(Device.CPU, layers, keyValueHeads, headDim, capacity, precision);
  }

  /** A cache on a device. */
  public KvCache(
      Device device,
      int layers,
      int keyValueHeads,
      int headDim,
      int capacity,
      Precision precision) {
    this(
        Collections.nCopies(layers, device),
        Collections.nCopies(layers, precision.product()),
        keyValueHeads,
        headDim,
        capacity);
  }

  /**
   * A cache over the devices of a model's layers.
   *
   * @param devices one a layer
   * @param compute dtype of the computation
   */
  public KvCache(
      List<Device> devices, int keyValueHeads, int headDim, int capacity, DType compute) {
    this(
        devices,
        devices.stream().map(device -> Precision.of(compute, device).product()).toList(),
        keyValueHeads,
        headDim,
        capacity);
  }

  private KvCache(
      List<Device> devices, List<DType> dtypes, int keyValueHeads, int headDim, int capacity) {
    int layers = devices.size();
    this.capacity = capacity;
    this.ids = new int[capacity];
    this.keys = new Tensor[layers];
    this.values = new Tensor[layers];
    this.keyBytes = new ByteBuffer[layers];
    this.valueBytes = new ByteBuffer[layers];
    try {
      for (int l = 0; l < layers; l++) {
        Device device = devices.get(l);
        DType dtype = dtypes.get(l);
        keys[l] = scope.empty(device, dtype, keyValueHeads, capacity, headDim);
        values[l] = scope.empty(device, dtype, keyValueHeads, capacity, headDim);
      }
    } catch (RuntimeException e) {
      scope.close();
      throw e;
    }
  }

  /** Tokens held. */
  public int length() {
    return length;
  }

  /** Most tokens of the sequence. */
  public int capacity() {
    return capacity;
  }

  /**
   * Counts tokens whose keys and values every layer has written.
   *
   * @throws IllegalStateException if they are more than there is room for
   */
  public void advance(int tokens) {
    requireRoom(tokens);
    length += tokens;
  }

  /**
   * Forgets the tokens after the first ones: what comes next takes their place.
   *
   * @throws IllegalArgumentException if fewer are held
   */
  public void truncate(int tokens) {
    requireHeld(tokens);
    length = tokens;
  }

  /**
   * Takes over the first tokens of another cache of the same model, in place of what is held.
   *
   * @throws IllegalArgumentException if the other holds fewer, or there is no room for them
   */
  public void copyFrom(KvCache other, int tokens) {
    other.requireHeld(tokens);
    if (tokens > capacity) {
      throw new IllegalArgumentException(tokens + " tokens for a cache of " + capacity);
    }
    for (int l = 0; l < keys.length; l++) {
      try (Tensor k = keys(l, tokens);
          Tensor v = values(l, tokens);
          Tensor otherKeys = other.keys(l, tokens);
          Tensor otherValues = other.values(l, tokens)) {
        k.copyFrom(otherKeys);
        v.copyFrom(otherValues);
      }
    }
    System.arraycopy(other.ids, 0, ids, 0, tokens);
    computedAt = other.computedAt;
    length = tokens;
  }

  /**
   * Notes which tokens come next, before they are counted: so that they can be computed again.
   *
   * @throws IllegalStateException if there is no room for them
   */
  public void note(int[] tokens) {
    requireRoom(tokens.length);
    System.arraycopy(tokens, 0, ids, length, tokens.length);
    computedAt = length + tokens.length;
  }

  /** How many tokens the sequence had when some of those held were last computed. */
  public int computedAt() {
    return computedAt;
  }

  /** The tokens held, as they were noted; a copy. */
  public int[] tokens() {
    return Arrays.copyOf(ids, length);
  }

  private void requireHeld(int tokens) {
    if (tokens < 0 || tokens > length) {
      throw new IllegalArgumentException(tokens + " tokens of a cache that holds " + length);
    }
  }

  void requireRoom(int tokens) {
    if (length + tokens > capacity) {
      throw new IllegalStateException(
          length + " tokens and " + tokens + " more, in a cache of " + capacity);
    }
  }

  /** Keys of the first tokens, {@code [kvHeads, tokens, headDim]}; the caller closes them. */
  Tensor keys(int layer, int tokens) {
    return keys[layer].narrow(1, 0, tokens);
  }

  /** Values of the first tokens, {@code [kvHeads, tokens, headDim]}; the caller closes them. */
  Tensor values(int layer, int tokens) {
    return values[layer].narrow(1, 0, tokens);
  }

  /** Keys of some tokens; as {@link #keys(int, int)}. */
  Tensor keys(int layer, int first, int tokens) {
    return keys[layer].narrow(1, first, tokens);
  }

  /** Values of some tokens; as {@link #values(int, int)}. */
  Tensor values(int layer, int first, int tokens) {
    return values[layer].narrow(1, first, tokens);
  }

  /**
   * Where the keys of the next tokens go, {@code [kvHeads, tokens, headDim]}; as {@link #keys(int,
   * int)}.
   */
  Tensor nextKeys(int layer, int tokens) {
    return keys[layer].narrow(1, length, tokens);
  }

  /** Where the values of the next tokens go; as {@link #values}. */
  Tensor nextValues(int layer, int tokens) {
    return values[layer].narrow(1, length, tokens);
  }

  /** Bytes of one layer's keys, as many as of its values. */
  long layerBytes() {
    return keys[0].byteSize();
  }

  /**
   * The memory of a layer's keys, {@code [kvHeads, capacity, headDim]}, on the CPU and below 2 GiB;
   * to be used while the cache is open. Made when it is first asked for, by one thread.
   */
  ByteBuffer keyBytes(int layer) {
    return window(keys[layer], keyBytes, layer);
  }

  /** The memory of a layer's values; as {@link #keyBytes}. */
  ByteBuffer valueBytes(int layer) {
    return window(values[layer], valueBytes, layer);
  }

  private static ByteBuffer window(Tensor tensor, ByteBuffer[] made, int layer) {
    ByteBuffer window = made[layer];
    if (window == null) {
      window = tensor.bytes(0, Math.toIntExact(tensor.byteSize()));
      made[layer] = window;
    }
    return window;
  }

  /** Writes the next token's key of every head, side by side from {@code at} on. */
  void putKey(int layer, float[] heads, int at) {
    put(keys[layer], heads, at);
  }

  /** Writes the next token's value of every head, side by side from {@code at} on. */
  void putValue(int layer, float[] heads, int at) {
    put(values[layer], heads, at);
  }

  private void put(Tensor to, float[] heads, int at) {
    int d = (int) to.size(2);
    float[] own = new float[d];
    for (int h = 0; h < to.size(0); h++) {
      System.arraycopy(heads, at + h * d, own, 0, d);
      long slot = (long) h * capacity + length;
      try (Rows rows = Rows.writing(to, slot, slot + 1)) {
        rows.store(slot, own);
      }
    }
  }

  @Override
  public void close() {
    scope.close();
  }
}
