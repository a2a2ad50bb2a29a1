package ai.nibble.tensor;

import com.sun.jna.Native;
import com.sun.jna.NativeLibrary;

/** The driver's own library, {@code libcuda.so.1}, which comes with the kernel module. */
final class Libcuda implements CudaApi {
  private static final NativeLibrary LIBRARY = open();

  static {
    if (LIBRARY != null) {
      Native.register(Libcuda.class, LIBRARY);
    }
  }

  private Libcuda() {}

  private static NativeLibrary open() {
    try {
      return NativeLibrary.getInstance("libcuda.so.1");
    } catch (UnsatisfiedLinkError e) {
      return null;
    }
  }

  /** The library, null where no driver is installed. */
  static CudaApi find() {
    return LIBRARY == null ? null : new Libcuda();
  }

  @Override
  public native int cuInit(int flags);

  @Override
  public native int cuDriverGetVersion(int[] version);

  @Override
  public native int cuDeviceGetCount(int[] count);

  @Override
  public native int cuDeviceGet(int[] device, int ordinal);

  @Override
  public native int cuDeviceGetName(byte[] name, int length, int device);

  @Override
  public native int cuDeviceGetAttribute(int[] value, int attribute, int device);

  @Override
  public native int cuDeviceTotalMem_v2(long[] bytes, int device);

  @Override
  public native int cuDevicePrimaryCtxRetain(long[] context, int device);

  @Override
  public native int cuDevicePrimaryCtxRelease_v2(int device);

  @Override
  public native int cuCtxGetCurrent(long contextAddress);

  @Override
  public native int cuCtxSetCurrent(long context);

  @Override
  public native int cuMemGetInfo_v2(long[] free, long[] total);

  @Override
  public native int cuMemAllocManaged(long[] address, long bytes, int flags);

  @Override
  public native int cuMemFree_v2(long address);

  @Override
  public native int cuMemPrefetchAsync(long address, long bytes, int device, long stream);

  @Override
  public native int cuMemHostAlloc(long[] address, long bytes, int flags);

  @Override
  public native int cuMemFreeHost(long address);

  @Override
  public native int cuMemcpyDtoHAsync_v2(long host, long device, long bytes, long stream);

  @Override
  public native int cuMemcpyHtoDAsync_v2(long device, long host, long bytes, long stream);

  @Override
  public native int cuStreamCreate(long[] stream, int flags);

  @Override
  public native int cuStreamDestroy_v2(long stream);

  @Override
  public native int cuStreamWaitEvent(long stream, long event, int flags);

  @Override
  public native int cuEventCreate(long[] event, int flags);

  @Override
  public native int cuEventDestroy_v2(long event);

  @Override
  public native int cuEventRecord(long event, long stream);

  @Override
  public native int cuEventQuery(long event);

  @Override
  public native int cuEventSynchronize(long event);

  @Override
  public native int cuModuleLoadData(long[] module, byte[] image);

  @Override
  public native int cuModuleGetFunction(long[] function, long module, String name);

  @Override
  public native int cuFuncGetAttribute(int[] value, int attribute, long function);

  @Override
  public native int cuFuncSetAttribute(long function, int attribute, int value);

  @Override
  public native int cuLaunchKernel(
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
      long extra);

  @Override
  public native int cuGetErrorName(int error, long[] text);

  @Override
  public native int cuGetErrorString(int error, long[] text);
}
