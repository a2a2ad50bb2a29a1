package ai.nibble.tensor;

import com.sun.jna.Memory;
import com.sun.jna.Pointer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * A CUDA driver without a GPU: it gives out numbers for handles, writes down each call that changes
 * something, and copies a launch's arguments as the driver would.
 */
final class RecordingCuda implements CudaApi {
  static final long STREAM = 0x57AEL;
  private static final int NOT_FOUND = 500;
  private static final int INVALID_VALUE = 1;
  private static final long PAGE = 4096;
  private static final long FIRST_EVENT = 0xE000;

  /** Calls in words, for example {@code cuCtxSetCurrent(c0)}. */
  final List<String> calls = new ArrayList<>();

  /** Sizes of the launched kernel's parameters, in bytes. */
  int[] parameterSizes = {};

  /** The bytes of the last launch's arguments, as many as each parameter has. */
  List<byte[]> arguments = List.of();

  final Map<String, Integer> failing = new HashMap<>();
  long current;
  int capability = 90;
  int staticSharedBytes;
  int mostSharedBytes = 232448;
  int devices = 2;
  byte[] loaded;

  /** Whether the device faults pages of unified memory in. */
  int concurrentManagedAccess = 1;

  final LazyStreams streams = new LazyStreams();

  private final Map<Long, Memory> allocated = new HashMap<>();
  private int events;

  private final List<Memory> texts = new ArrayList<>();

  private int code(String call) {
    return failing.getOrDefault(call, 0);
  }

  private int record(String call, String text) {
    calls.add(call + "(" + text + ")");
    return code(call);
  }

  int stream(int device, long address) {
    new Pointer(address).setLong(0, STREAM + device);
    return code("stream");
  }

  @Override
  public int cuInit(int flags) {
    return record("cuInit", "" + flags);
  }

  @Override
  public int cuDriverGetVersion(int[] version) {
    version[0] = 12080;
    return code("cuDriverGetVersion");
  }

  @Override
  public int cuDeviceGetCount(int[] count) {
    count[0] = devices;
    return code("cuDeviceGetCount");
  }

  @Override
  public int cuDeviceGet(int[] device, int ordinal) {
    device[0] = 100 + ordinal;
    return code("cuDeviceGet");
  }

  @Override
  public int cuDeviceGetName(byte[] name, int length, int device) {
    byte[] text = ("GPU " + device).getBytes(StandardCharsets.US_ASCII);
    System.arraycopy(text, 0, name, 0, text.length);
    return code("cuDeviceGetName");
  }

  @Override
  public int cuDeviceGetAttribute(int[] value, int attribute, int device) {
    value[0] =
        switch (attribute) {
          case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR -> capability / 10;
          case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR -> capability % 10;
          case CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT -> 132;
          case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN -> mostSharedBytes;
          case CU_DEVICE_ATTRIBUTE_CONCURRENT_MANAGED_ACCESS -> concurrentManagedAccess;
          default -> throw new AssertionError("attribute " + attribute);
        };
    return code("cuDeviceGetAttribute");
  }

  @Override
  public int cuDeviceTotalMem_v2(long[] bytes, int device) {
    bytes[0] = 80L << 30;
    return code("cuDeviceTotalMem");
  }

  @Override
  public int cuDevicePrimaryCtxRetain(long[] context, int device) {
    context[0] = 0xC000 + device;
    return record("cuDevicePrimaryCtxRetain", "" + device);
  }

  @Override
  public int cuDevicePrimaryCtxRelease_v2(int device) {
    return record("cuDevicePrimaryCtxRelease", "" + device);
  }

  @Override
  public int cuCtxGetCurrent(long contextAddress) {
    new Pointer(contextAddress).setLong(0, current);
    return code("cuCtxGetCurrent");
  }

  @Override
  public int cuCtxSetCurrent(long context) {
    current = context;
    return record("cuCtxSetCurrent", Long.toHexString(context));
  }

  @Override
  public int cuMemGetInfo_v2(long[] free, long[] total) {
    free[0] = 70L << 30;
    total[0] = 80L << 30;
    return record("cuMemGetInfo", "context " + Long.toHexString(current));
  }

  /** Memory of the host, aligned as the driver's is. */
  private int allocate(long[] address, long bytes, int code) {
    if (code == 0) {
      Memory memory = new Memory(bytes + PAGE);
      address[0] = (Pointer.nativeValue(memory) + PAGE - 1) / PAGE * PAGE;
      allocated.put(address[0], memory);
    }
    return code;
  }

  /** Allocations that were not given back. */
  int held() {
    return allocated.size();
  }

  private int free(long address) {
    Memory memory = allocated.remove(address);
    if (memory == null) {
      return INVALID_VALUE;
    }
    streams.free(address, memory.size() - PAGE);
    memory.close();
    return 0;
  }

  @Override
  public int cuMemAllocManaged(long[] address, long bytes, int flags) {
    String text = bytes + ", " + flags + ", context " + Long.toHexString(current);
    return allocate(address, bytes, record("cuMemAllocManaged", text));
  }

  @Override
  public int cuMemFree_v2(long address) {
    int code = record("cuMemFree", "context " + Long.toHexString(current));
    return code == 0 ? free(address) : code;
  }

  @Override
  public int cuMemPrefetchAsync(long address, long bytes, int device, long stream) {
    int code =
        record(
            "cuMemPrefetchAsync",
            bytes + ", device " + device + ", stream " + Long.toHexString(stream));
    return allocated.containsKey(address) ? code : INVALID_VALUE;
  }

  @Override
  public int cuMemHostAlloc(long[] address, long bytes, int flags) {
    String text = bytes + ", " + flags + ", context " + Long.toHexString(current);
    return allocate(address, bytes, record("cuMemHostAlloc", text));
  }

  @Override
  public int cuMemFreeHost(long address) {
    int code = record("cuMemFreeHost", "");
    return code == 0 ? free(address) : code;
  }

  @Override
  public int cuMemcpyDtoHAsync_v2(long host, long device, long bytes, long stream) {
    streams.copy(host, device, bytes, stream);
    return record("cuMemcpyDtoHAsync", bytes + ", stream " + Long.toHexString(stream));
  }

  @Override
  public int cuMemcpyHtoDAsync_v2(long device, long host, long bytes, long stream) {
    int code = record("cuMemcpyHtoDAsync", bytes + ", stream " + Long.toHexString(stream));
    if (code == 0) {
      streams.copy(device, host, bytes, stream);
    }
    return code;
  }

  @Override
  public int cuStreamCreate(long[] stream, int flags) {
    stream[0] = streams.create();
    return record("cuStreamCreate", flags + ", context " + Long.toHexString(current));
  }

  @Override
  public int cuStreamDestroy_v2(long stream) {
    streams.destroy(stream);
    return record("cuStreamDestroy", Long.toHexString(stream));
  }

  @Override
  public int cuStreamWaitEvent(long stream, long event, int flags) {
    streams.await(stream, event);
    return record("cuStreamWaitEvent", names(event, stream));
  }

  @Override
  public int cuEventCreate(long[] event, int flags) {
    event[0] = FIRST_EVENT + events++;
    return record("cuEventCreate", flags + ", context " + Long.toHexString(current));
  }

  @Override
  public int cuEventDestroy_v2(long event) {
    return record("cuEventDestroy", Long.toHexString(event));
  }

  @Override
  public int cuEventRecord(long event, long stream) {
    streams.record(event, stream);
    return record("cuEventRecord", names(event, stream));
  }

  @Override
  public int cuEventQuery(long event) {
    return streams.isDone(event) ? code("cuEventQuery") : CUDA_ERROR_NOT_READY;
  }

  @Override
  public int cuEventSynchronize(long event) {
    streams.synchronize(event);
    return record("cuEventSynchronize", Long.toHexString(event));
  }

  private static String names(long event, long stream) {
    return "event " + Long.toHexString(event) + ", stream " + Long.toHexString(stream);
  }

  @Override
  public int cuModuleLoadData(long[] module, byte[] image) {
    loaded = image.clone();
    module[0] = 0x3000 + calls.size();
    return record("cuModuleLoadData", "context " + Long.toHexString(current));
  }

  @Override
  public int cuModuleGetFunction(long[] function, long module, String name) {
    function[0] = 0xF000;
    int code = record("cuModuleGetFunction", name);
    return name.equals("missing") ? NOT_FOUND : code;
  }

  @Override
  public int cuFuncGetAttribute(int[] value, int attribute, long function) {
    value[0] = staticSharedBytes;
    return code("cuFuncGetAttribute");
  }

  @Override
  public int cuFuncSetAttribute(long function, int attribute, int value) {
    int code = record("cuFuncSetAttribute", attribute + ", " + value);
    return staticSharedBytes + value > mostSharedBytes ? INVALID_VALUE : code;
  }

  @Override
  public int cuLaunchKernel(
      long function,
      int gridX,
      int gridY,
      int gridZ,
      int blockX,
      int blockY,
      int blockZ,
      int sharedBytes,
      long stream,
      long parameters,
      long extra) {
    List<byte[]> copied = new ArrayList<>();
    for (int i = 0; i < parameterSizes.length; i++) {
      Pointer value = new Pointer(parameters).getPointer((long) i * Long.BYTES);
      copied.add(value.getByteArray(0, parameterSizes[i]));
    }
    arguments = copied;
    return record(
        "cuLaunchKernel",
        String.format(
            "%x, %d %d %d, %d %d %d, %d, stream %x, context %x, extra %d",
            function,
            gridX,
            gridY,
            gridZ,
            blockX,
            blockY,
            blockZ,
            sharedBytes,
            stream,
            current,
            extra));
  }

  @Override
  public int cuGetErrorName(int error, long[] text) {
    return text(text, error == INVALID_VALUE ? "CUDA_ERROR_INVALID_VALUE" : "CUDA_ERROR_" + error);
  }

  @Override
  public int cuGetErrorString(int error, long[] text) {
    return text(text, "reason " + error);
  }

  private int text(long[] address, String text) {
    Memory memory = new Memory(text.length() + 1L);
    memory.setString(0, text);
    texts.add(memory);
    address[0] = Pointer.nativeValue(memory);
    return 0;
  }
}
