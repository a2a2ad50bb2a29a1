package ai.nibble.tensor;

import com.sun.jna.Native;
import java.util.ArrayList;
import java.util.List;

/** What the driver says of its devices. */
final class CudaDevices {
  private static final int NAME_BYTES = 256;
  private static final int TEN = 10;

  private CudaDevices() {}

  /** The driver's handle of a CUDA ordinal. */
  static int handle(CudaApi api, int ordinal) {
    int[] device = new int[1];
    CudaError.check(api, api.cuDeviceGet(device, ordinal), "cuDeviceGet");
    return device[0];
  }

  static int attribute(CudaApi api, int attribute, int device) {
    int[] value = new int[1];
    CudaError.check(
        api, api.cuDeviceGetAttribute(value, attribute, device), "cuDeviceGetAttribute");
    return value[0];
  }

  /** Compute capability of a device, 10 major + minor. */
  static int capability(CudaApi api, int device) {
    return TEN * attribute(api, CudaApi.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, device)
        + attribute(api, CudaApi.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, device);
  }

  /**
   * All devices that the process may use.
   *
   * @param api of a driver that is initialised
   */
  static List<Gpu> list(CudaApi api) {
    int[] count = new int[1];
    CudaError.check(api, api.cuDeviceGetCount(count), "cuDeviceGetCount");
    List<Gpu> gpus = new ArrayList<>();
    for (int i = 0; i < count[0]; i++) {
      int device = handle(api, i);
      byte[] name = new byte[NAME_BYTES];
      CudaError.check(api, api.cuDeviceGetName(name, name.length, device), "cuDeviceGetName");
      long[] total = new long[1];
      CudaError.check(api, api.cuDeviceTotalMem_v2(total, device), "cuDeviceTotalMem");
      gpus.add(
          new Gpu(
              i,
              Native.toString(name),
              capability(api, device),
              attribute(api, CudaApi.CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, device),
              total[0]));
    }
    return List.copyOf(gpus);
  }

  /**
   * Bytes of a device's memory that nobody uses now. Asking needs a context, which takes some 500
   * MB itself if the process has none yet, and is given back.
   */
  static long freeBytes(CudaApi api, int ordinal) {
    int device = handle(api, ordinal);
    long[] context = new long[1];
    CudaError.check(api, api.cuDevicePrimaryCtxRetain(context, device), "cuDevicePrimaryCtxRetain");
    LaunchFrame frame = LaunchFrame.ofThread();
    try {
      CudaError.check(api, api.cuCtxGetCurrent(frame.contextAddress()), "cuCtxGetCurrent");
      long previous = frame.context();
      CudaError.check(api, api.cuCtxSetCurrent(context[0]), "cuCtxSetCurrent");
      try {
        long[] free = new long[1];
        CudaError.check(api, api.cuMemGetInfo_v2(free, new long[1]), "cuMemGetInfo");
        return free[0];
      } finally {
        CudaError.check(api, api.cuCtxSetCurrent(previous), "cuCtxSetCurrent");
      }
    } finally {
      CudaError.check(api, api.cuDevicePrimaryCtxRelease_v2(device), "cuDevicePrimaryCtxRelease");
    }
  }
}
