package ai.nibble.tensor;

/**
 * The calls of the CUDA driver API that launching needs, under their own names (CUDA Driver API
 * reference manual). Each returns a {@code CUresult}, 0 on success. Contexts, modules, functions
 * and streams are native pointers; a parameter that is called an address is where the call writes
 * its result, so that a launch allocates nothing.
 */
interface CudaApi {
  int CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT = 16;
  int CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR = 75;
  int CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR = 76;
  int CU_DEVICE_ATTRIBUTE_CONCURRENT_MANAGED_ACCESS = 89;
  int CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN = 97;
  int CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES = 1;
  int CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES = 8;
  int CU_MEM_ATTACH_GLOBAL = 1;
  int CU_STREAM_NON_BLOCKING = 1;
  int CU_EVENT_DISABLE_TIMING = 2;
  int CUDA_ERROR_NOT_READY = 600;

  int cuInit(int flags);

  /** The version of CUDA that the driver serves, 1000 major + 10 minor. */
  int cuDriverGetVersion(int[] version);

  int cuDeviceGetCount(int[] count);

  int cuDeviceGet(int[] device, int ordinal);

  /** Writes a C string of at most so many bytes with its end. */
  int cuDeviceGetName(byte[] name, int length, int device);

  int cuDeviceGetAttribute(int[] value, int attribute, int device);

  int cuDeviceTotalMem_v2(long[] bytes, int device);

  int cuDevicePrimaryCtxRetain(long[] context, int device);

  int cuDevicePrimaryCtxRelease_v2(int device);

  int cuCtxGetCurrent(long contextAddress);

  int cuCtxSetCurrent(long context);

  int cuMemGetInfo_v2(long[] free, long[] total);

  /** Memory of host and device, which moves between them page by page. */
  int cuMemAllocManaged(long[] address, long bytes, int flags);

  int cuMemFree_v2(long address);

  /** Moves pages to a device, in order with the stream. */
  int cuMemPrefetchAsync(long address, long bytes, int device, long stream);

  /** Page-locked memory of the host, which copies reach without the processor. */
  int cuMemHostAlloc(long[] address, long bytes, int flags);

  int cuMemFreeHost(long address);

  int cuMemcpyDtoHAsync_v2(long host, long device, long bytes, long stream);

  int cuMemcpyHtoDAsync_v2(long device, long host, long bytes, long stream);

  int cuStreamCreate(long[] stream, int flags);

  int cuStreamDestroy_v2(long stream);

  /** What comes on the stream from now on waits for the event as it was recorded last. */
  int cuStreamWaitEvent(long stream, long event, int flags);

  int cuEventCreate(long[] event, int flags);

  int cuEventDestroy_v2(long event);

  /** The event happens when all that is on the stream now is done. */
  int cuEventRecord(long event, long stream);

  /** {@link #CUDA_ERROR_NOT_READY} where the event has still to happen. */
  int cuEventQuery(long event);

  int cuEventSynchronize(long event);

  /**
   * @param image a cubin, or PTX that ends with a zero byte
   */
  int cuModuleLoadData(long[] module, byte[] image);

  int cuModuleGetFunction(long[] function, long module, String name);

  int cuFuncGetAttribute(int[] value, int attribute, long function);

  int cuFuncSetAttribute(long function, int attribute, int value);

  /**
   * @param parameters address of an array of pointers to the arguments
   * @param extra 0
   */
  int cuLaunchKernel(
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

  /** Gives a pointer to a C string, 0 for an unknown code. */
  int cuGetErrorName(int error, long[] text);

  int cuGetErrorString(int error, long[] text);
}
