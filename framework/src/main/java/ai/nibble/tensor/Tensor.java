package ai.nibble.tensor;

import com.sun.jna.Pointer;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.util.Arrays;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.Consumer;

/**
 * A dense array of libtorch: dtype, shape, strides (in elements) and memory that several tensors
 * may share. A tensor owns one native handle and must be closed; the memory goes with its last
 * handle. Instances may be read by several threads; {@link #close} is safe to call twice.
 */
public final class Tensor implements AutoCloseable {
  private static final AtomicLong LIVE = new AtomicLong();
  private static final AtomicLong WAITS = new AtomicLong();

  private final long handle;
  private final DType dtype;
  private final Device device;
  private final long[] shape;
  private final long[] strides;
  private final Storage storage;
  private final AtomicBoolean closed = new AtomicBoolean();

  private Tensor(
      long handle, DType dtype, Device device, long[] shape, long[] strides, Storage storage) {
    this.handle = handle;
    this.dtype = dtype;
    this.device = device;
    this.shape = shape;
    this.strides = strides;
    this.storage = storage;
    LIVE.incrementAndGet();
  }

  /** Tensors opened and not yet closed in this process: a balance for tests. */
  public static long live() {
    return LIVE.get();
  }

  /**
   * How often in this process the host has copied between a device's memory and its own and waited
   * for that: a count for tests.
   */
  public static long waits() {
    return WAITS.get();
  }

  /** An uninitialised contiguous tensor on the CPU. */
  public static Tensor empty(DType dtype, long... shape) {
    return empty(Device.CPU, dtype, shape);
  }

  /** An uninitialised contiguous tensor. */
  public static Tensor empty(Device device, DType dtype, long... shape) {
    long[] sizes = shape.clone();
    long[] strides = contiguousStrides(sizes);
    long numel = numel(sizes);
    long bytes = numel * dtype.bytes();
    long room = device.isCpu() ? TensorMemory.allocatedBytes(Device.Type.CPU, bytes) : bytes;
    if (room == bytes) {
      return allocated(device, dtype, sizes, strides);
    }
    try (Tensor whole =
        allocated(device, dtype, new long[] {room / dtype.bytes()}, new long[] {1})) {
      return whole.reinterpret(sizes, strides, 0);
    }
  }

  /**
   * An uninitialised matrix whose rows lie apart, with room of its own behind each of them.
   *
   * @param stride elements from one row to the next, {@code columns} or more
   */
  public static Tensor emptyRows(Device device, DType dtype, long rows, long columns, long stride) {
    try (Tensor whole = empty(device, dtype, rows, stride)) {
      return whole.narrow(1, 0, columns);
    }
  }

  private static Tensor allocated(Device device, DType dtype, long[] sizes, long[] strides) {
    long[] result = new long[1];
    int code =
        Libtorch.aoti_torch_empty_strided(
            sizes.length,
            atLeastOne(sizes),
            atLeastOne(strides),
            dtype.scalarType(),
            device.type().code(),
            device.isCpu() ? 0 : device.index(), // libtorch knows one CPU
            result);
    if (code != 0) {
      throw OutOfMemoryException.of(
          "empty: cannot allocate " + dtype.torchName() + Arrays.toString(sizes) + " on " + device,
          device,
          numel(sizes) * dtype.bytes());
    }
    return ofOwnMemory(result[0], dtype, device, sizes, strides);
  }

  /** A tensor that shares its memory with no other yet. */
  private static Tensor ofOwnMemory(
      long handle, DType dtype, Device device, long[] sizes, long[] strides) {
    long bytes = numel(sizes) * dtype.bytes();
    bytes = device.isCpu() ? bytes : TensorMemory.allocatedBytes(device.type(), bytes);
    return new Tensor(handle, dtype, device, sizes, strides, new Storage(device, bytes));
  }

  /**
   * A contiguous tensor over memory that someone else owns, which stays there until the last tensor
   * on it is closed.
   */
  static Tensor over(long address, Device device, DType dtype, long... shape) {
    long[] sizes = shape.clone();
    long[] strides = contiguousStrides(sizes);
    long[] result = new long[1];
    int code =
        Libtorch.aoti_torch_create_tensor_from_blob_v2(
            address,
            sizes.length,
            atLeastOne(sizes),
            atLeastOne(strides),
            0,
            dtype.scalarType(),
            device.type().code(),
            device.index(),
            result,
            Libtorch.aoti_torch_layout_strided(),
            0,
            0);
    check(code, "create_tensor_from_blob");
    return new Tensor(result[0], dtype, device, sizes, strides, new Storage(device, 0));
  }

  /** A tensor of zeros on the CPU. */
  public static Tensor zeros(DType dtype, long... shape) {
    return empty(dtype, shape).zero();
  }

  /**
   * A float32 tensor with these values in row-major order.
   *
   * @param values below 2 GiB
   */
  public static Tensor of(float[] values, long... shape) {
    return of(Device.CPU, values, shape);
  }

  /**
   * A float32 tensor with these values on a device: see {@link #of(float[], long...)}. No device is
   * waited for: what is queued from now on reads the values.
   */
  public static Tensor of(Device device, float[] values, long... shape) {
    if (numel(shape) != values.length) {
      throw new TensorException(
          "of: " + values.length + " values for the shape " + Arrays.toString(shape));
    }
    return filled(device, DType.FLOAT32, shape, bytes -> bytes.asFloatBuffer().put(values));
  }

  /** A float64 tensor of this one value on a device, likewise. */
  public static Tensor of(Device device, double value) {
    return filled(device, DType.FLOAT64, new long[] {1}, bytes -> bytes.putDouble(value));
  }

  /** An int32 vector with these values on a device, below 2 GiB, as kernels take it; likewise. */
  public static Tensor ofInts(Device device, int[] values) {
    long[] shape = {values.length};
    return filled(device, DType.INT32, shape, bytes -> bytes.asIntBuffer().put(values));
  }

  /** An int64 vector with these values, below 2 GiB, as index operations take it. */
  public static Tensor ofIndices(int[] values) {
    return ofIndices(Device.CPU, values);
  }

  /** An int64 vector with these values on a device, as {@link #ofInts}. */
  public static Tensor ofIndices(Device device, int[] values) {
    return filled(
        device,
        DType.INT64,
        new long[] {values.length},
        bytes -> {
          for (int value : values) {
            bytes.putLong(value);
          }
        });
  }

  /**
   * A contiguous tensor on a device.
   *
   * @param values writes all its bytes, little-endian
   */
  private static Tensor filled(
      Device device, DType dtype, long[] shape, Consumer<ByteBuffer> values) {
    if (numel(shape) * dtype.bytes() > Integer.MAX_VALUE) {
      throw new TensorException(
          "of: needs less than 2 GiB, got " + dtype.torchName() + Arrays.toString(shape));
    }
    int size = (int) numel(shape) * dtype.bytes();
    Tensor tensor = empty(device, dtype, shape);
    try {
      Uploads uploads = Uploads.to(device);
      if (uploads != null && uploads.write(tensor, values)) {
        return tensor;
      }
      if (device.isCpu()) {
        values.accept(tensor.bytes(0, size));
        return tensor;
      }
      try (Tensor host = empty(dtype, shape)) {
        values.accept(host.bytes(0, size));
        return tensor.copyFrom(host);
      }
    } catch (RuntimeException e) {
      tensor.close();
      throw e;
    }
  }

  /** Wraps a handle that the caller gives up; what is the CPU's is taken to be of no other. */
  static Tensor adopt(long handle) {
    return adopt(handle, Device.CPU);
  }

  /**
   * Wraps a handle that the caller gives up.
   *
   * @param host where it is if it is in the CPU's memory
   */
  static Tensor adopt(long handle, Device host) {
    int[] i = new int[1];
    long[] l = new long[1];
    check(Libtorch.aoti_torch_get_dtype(handle, i), "get_dtype");
    DType dtype = DType.ofScalarType(i[0]);
    check(Libtorch.aoti_torch_get_device_type(handle, i), "get_device_type");
    boolean cpu = i[0] == Device.Type.CPU.code();
    check(Libtorch.aoti_torch_get_device_index(handle, i), "get_device_index");
    Device device = cpu ? host : new Device(Device.Type.CUDA, i[0]);
    check(Libtorch.aoti_torch_get_dim(handle, l), "get_dim");
    long[] shape = new long[(int) l[0]];
    long[] strides = new long[shape.length];
    for (int d = 0; d < shape.length; d++) {
      check(Libtorch.aoti_torch_get_size(handle, d, l), "get_size");
      shape[d] = l[0];
      check(Libtorch.aoti_torch_get_stride(handle, d, l), "get_stride");
      strides[d] = l[0];
    }
    return ofOwnMemory(handle, dtype, device, shape, strides);
  }

  /**
   * Wraps a handle that the caller gives up; null for a tensor that has nothing, not even a dtype.
   */
  static Tensor adoptDefined(long handle) {
    long[] nothing = new long[1];
    check(Libtorch.aoti_torch_new_uninitialized_tensor(nothing), "new_uninitialized_tensor");
    int[] none = new int[1];
    int[] own = new int[1];
    check(Libtorch.aoti_torch_get_dtype(nothing[0], none), "get_dtype");
    check(Libtorch.aoti_torch_get_dtype(handle, own), "get_dtype");
    check(Libtorch.aoti_torch_delete_tensor_object(nothing[0]), "delete_tensor_object");
    if (own[0] != none[0]) {
      return adopt(handle);
    }
    check(Libtorch.aoti_torch_delete_tensor_object(handle), "delete_tensor_object");
    return null;
  }

  /**
   * Wraps a handle that the caller gives up, of a tensor known to be like a contiguous one: asking
   * libtorch takes ten calls.
   */
  static Tensor adoptLike(long handle, Tensor like) {
    return ofOwnMemory(handle, like.dtype, like.device, like.shape, contiguousStrides(like.shape));
  }

  public DType dtype() {
    return dtype;
  }

  public Device device() {
    return device;
  }

  /** A copy of the shape. */
  public long[] shape() {
    return shape.clone();
  }

  public int dim() {
    return shape.length;
  }

  /** Size of one dimension; negative counts from the last. */
  public long size(int d) {
    return shape[d < 0 ? d + shape.length : d];
  }

  /** Stride of one dimension in elements; negative counts from the last. */
  public long stride(int d) {
    return strides[d < 0 ? d + shape.length : d];
  }

  public long numel() {
    return numel(shape);
  }

  private static long numel(long[] sizes) {
    long n = 1;
    for (long s : sizes) {
      n *= s;
    }
    return n;
  }

  /** Bytes of the elements. */
  public long byteSize() {
    return numel() * dtype.bytes();
  }

  public boolean isContiguous() {
    long expected = 1;
    for (int d = shape.length - 1; d >= 0; d--) {
      if (shape[d] != 1 && strides[d] != expected) {
        return false;
      }
      expected *= shape[d];
    }
    return true;
  }

  /** Another tensor on the same memory, which it keeps alive. */
  public Tensor share() {
    long[] result = new long[1];
    check(Libtorch.aoti_torch_new_tensor_handle(handle(), result), "new_tensor_handle");
    return new Tensor(result[0], dtype, device, shape, strides, storage.shared());
  }

  /** The same memory under another shape; this tensor must be contiguous. */
  public Tensor view(long... newShape) {
    long n = 1;
    for (long s : newShape) {
      n *= s;
    }
    if (n != numel() || !isContiguous()) {
      throw new TensorException("view: " + this + " as " + Arrays.toString(newShape));
    }
    return reinterpret(newShape.clone(), contiguousStrides(newShape), 0);
  }

  /** Elements {@code [start, start + length)} of one dimension, on the same memory. */
  public Tensor narrow(int d, long start, long length) {
    if (start < 0 || length < 0 || start + length > size(d)) {
      throw new TensorException(
          "narrow: [" + start + ", " + (start + length) + ") of dimension " + d + " of " + this);
    }
    long[] sizes = shape.clone();
    sizes[d] = length;
    return reinterpret(sizes, strides.clone(), start * strides[d]);
  }

  /** Two dimensions swapped, on the same memory. */
  public Tensor transpose(int a, int b) {
    long[] sizes = shape.clone();
    long[] newStrides = strides.clone();
    sizes[a] = shape[b];
    sizes[b] = shape[a];
    newStrides[a] = strides[b];
    newStrides[b] = strides[a];
    return reinterpret(sizes, newStrides, 0);
  }

  /** The matrix transposed, on the same memory. */
  public Tensor t() {
    return transpose(0, 1);
  }

  /** The rows of a matrix that {@link #emptyRows} made, with the room behind each of them. */
  public Tensor withRoom() {
    long stride = Math.max(size(1), stride(0));
    // a single row is contiguous, with and without room
    return reinterpret(new long[] {size(0), stride}, new long[] {stride, 1}, 0);
  }

  /** Any view of the memory from this tensor's first element on; strides in elements. */
  public Tensor asStrided(long[] sizes, long[] newStrides, long offset) {
    long last = offset;
    for (int d = 0; d < sizes.length; d++) {
      last += (sizes[d] - 1) * newStrides[d];
    }
    if (isContiguous() && numel() > 0 && (last >= numel() || offset < 0)) {
      throw new TensorException(
          "asStrided: element " + last + " of " + this + " as " + Arrays.toString(sizes));
    }
    return reinterpret(sizes.clone(), newStrides.clone(), offset);
  }

  private Tensor reinterpret(long[] sizes, long[] newStrides, long offset) {
    long[] result = new long[1];
    int code =
        Libtorch.aoti_torch__reinterpret_tensor(
            handle(), sizes.length, atLeastOne(sizes), atLeastOne(newStrides), offset, result);
    check(code, "reinterpret_tensor", this);
    return new Tensor(result[0], dtype, device, sizes, newStrides, storage.shared());
  }

  /** A contiguous copy in the given dtype, rounded to nearest even. */
  public Tensor to(DType newDtype) {
    return empty(device, newDtype, shape).copyFrom(this);
  }

  /** Copies the values of a tensor of the same shape, converting the dtype. Returns this. */
  public Tensor copyFrom(Tensor source) {
    if (!Arrays.equals(shape, source.shape)) {
      throw new TensorException("copy: " + source + " into " + this);
    }
    if (device.equals(Device.CPU) != source.device.equals(Device.CPU)) {
      WAITS.incrementAndGet();
    }
    check(Libtorch.aoti_torch_copy_(handle(), source.handle(), 0), "copy_", this, source);
    return this;
  }

  /** Sets every element to zero. Returns this. */
  public Tensor zero() {
    check(Libtorch.aoti_torch_zero_(handle()), "zero_", this);
    return this;
  }

  /**
   * A window on the memory of a contiguous CPU tensor, little-endian. It does not keep the memory
   * alive: use it only while the tensor is open.
   *
   * @param offset first byte
   * @param length bytes, below 2 GiB
   */
  public ByteBuffer bytes(long offset, int length) {
    if (!device.isCpu() || !isContiguous()) {
      throw new TensorException("bytes: needs a contiguous CPU tensor, got " + this);
    }
    if (offset < 0 || length < 0 || offset + length > byteSize()) {
      throw new TensorException(
          "bytes: [" + offset + ", " + (offset + length) + ") of " + byteSize() + " of " + this);
    }
    if (length == 0) {
      return ByteBuffer.allocateDirect(0).order(ByteOrder.LITTLE_ENDIAN);
    }
    return new Pointer(address() + offset).getByteBuffer(0, length).order(ByteOrder.LITTLE_ENDIAN);
  }

  /** All elements of a contiguous float32 CPU tensor below 2 GiB; see {@link #bytes}. */
  public FloatBuffer floats() {
    if (dtype != DType.FLOAT32) {
      throw new TensorException("floats: needs float32, got " + this);
    }
    if (byteSize() > Integer.MAX_VALUE) {
      throw new TensorException("floats: needs less than 2 GiB, got " + this);
    }
    return bytes(0, (int) byteSize()).asFloatBuffer();
  }

  /** The values in row-major order as float32. */
  public float[] toFloats() {
    try (Tensor copy = to(DType.FLOAT32);
        Tensor host = copy.onHost()) {
      float[] values = new float[Math.toIntExact(numel())];
      host.floats().get(0, values);
      return values;
    }
  }

  /**
   * Sets all values of a contiguous float32 tensor, wherever its memory is.
   *
   * @param from as many values from position 0 on; it does not move
   */
  public Tensor setFloats(FloatBuffer from) {
    if (from.limit() != numel()) {
      throw new TensorException("setFloats: " + from.limit() + " values into " + this);
    }
    if (device.isCpu()) {
      floats().put(0, from, 0, from.limit());
      return this;
    }
    try (Tensor host = empty(dtype, shape)) {
      host.floats().put(0, from, 0, from.limit());
      return copyFrom(host);
    }
  }

  /** The value of a float32 or float64 tensor of one element; waits for the device. */
  public double item() {
    if (numel() != 1 || (dtype != DType.FLOAT32 && dtype != DType.FLOAT64)) {
      throw new TensorException("item: needs one float32 or float64, got " + this);
    }
    try (Tensor host = onHost()) {
      ByteBuffer bytes = host.bytes(0, dtype.bytes());
      return dtype == DType.FLOAT32 ? bytes.getFloat(0) : bytes.getDouble(0);
    }
  }

  /** This one, or a copy in the host's memory. */
  private Tensor onHost() {
    return device.equals(Device.CPU) ? share() : to(Device.CPU);
  }

  /** A contiguous copy on another device. */
  public Tensor to(Device target) {
    return empty(target, dtype, shape).copyFrom(this);
  }

  long handle() {
    if (closed.get()) {
      throw new TensorException("use of a closed tensor " + this);
    }
    return handle;
  }

  /** Address of the first element, in the memory of the tensor's device. */
  long address() {
    long[] result = new long[1];
    check(Libtorch.aoti_torch_get_data_ptr(handle(), result), "get_data_ptr", this);
    return result[0];
  }

  /** Writes {@link #address} to native memory. */
  void writeAddress(long to) {
    check(Libtorch.aoti_torch_get_data_ptr(handle(), to), "get_data_ptr", this);
  }

  @Override
  public void close() {
    if (closed.compareAndSet(false, true)) {
      LIVE.decrementAndGet();
      storage.release();
      check(Libtorch.aoti_torch_delete_tensor_object(handle), "delete_tensor_object");
    }
  }

  /** Dtype, shape and, where it is not the CPU, device: {@code bfloat16[2, 512]}. */
  @Override
  public String toString() {
    boolean here = device.equals(Device.CPU);
    return dtype.torchName() + Arrays.toString(shape) + (here ? "" : "@" + device);
  }

  /** Turns a native error code into an exception that names the operation and its operands. */
  static void check(int code, String op, Tensor... operands) {
    if (code != 0) {
      throw failure(op, (Object[]) operands);
    }
  }

  /**
   * What an operation's failure is.
   *
   * @param arguments tensors among them
   */
  static TensorException failure(String op, Object... arguments) {
    Device device = Device.CPU;
    long largest = 0;
    for (Object argument : arguments) {
      if (argument instanceof Tensor tensor) {
        device = tensor.device.isCpu() ? device : tensor.device;
        largest = Math.max(largest, tensor.byteSize());
      }
    }
    String message =
        op + " failed on " + Arrays.toString(arguments) + "; libtorch gave its reason on stderr";
    return OutOfMemoryException.of(message, device, largest);
  }

  private static long[] contiguousStrides(long[] sizes) {
    long[] result = new long[sizes.length];
    long stride = 1;
    for (int d = sizes.length - 1; d >= 0; d--) {
      result[d] = stride;
      stride *= Math.max(1, sizes[d]);
    }
    return result;
  }

  /** JNA passes no address for an empty array; libtorch wants one even where it reads nothing. */
  private static long[] atLeastOne(long[] values) {
    return values.length == 0 ? new long[1] : values;
  }
}
