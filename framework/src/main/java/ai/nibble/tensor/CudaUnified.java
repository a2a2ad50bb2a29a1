package ai.nibble.tensor;

import java.util.Locale;

/** Unified memory by the CUDA driver, moved on the stream that libtorch computes on. */
final class CudaUnified implements Pages.Unified {
  private static final double GB = 1e9;

  private final CudaApi api;
  private final CudaContexts contexts;
  private final CudaDriver.CurrentStream streams;

  /**
   * @param api of a driver that is initialised
   */
  CudaUnified(CudaApi api, CudaDriver.CurrentStream streams) {
    this.api = api;
    this.contexts = new CudaContexts(api);
    this.streams = streams;
  }

  @Override
  public long allocate(Device device, long bytes) {
    return contexts.in(
        device.index(),
        () -> {
          long[] address = new long[1];
          int code = api.cuMemAllocManaged(address, bytes, CudaApi.CU_MEM_ATTACH_GLOBAL);
          if (code != 0) {
            throw new TensorException(
                String.format(
                    Locale.ROOT,
                    "cuMemAllocManaged of %.2f GB for %s: %s",
                    bytes / GB,
                    device,
                    CudaError.describe(api, code)));
          }
          return address[0];
        });
  }

  /** Where the device cannot fault pages in, the driver moves all of it at every launch anyway. */
  @Override
  public void prefetch(Device device, long address, long bytes) {
    int handle = CudaDevices.handle(api, device.index());
    int attribute = CudaApi.CU_DEVICE_ATTRIBUTE_CONCURRENT_MANAGED_ACCESS;
    if (CudaDevices.attribute(api, attribute, handle) == 0) {
      return;
    }
    contexts.in(
        device.index(),
        () -> {
          LaunchFrame frame = LaunchFrame.ofThread();
          if (streams.get(device.index(), frame.streamAddress()) != 0) {
            throw new TensorException("libtorch names no current stream of " + device);
          }
          int code = api.cuMemPrefetchAsync(address, bytes, handle, frame.stream());
          CudaError.check(api, code, "cuMemPrefetchAsync");
          return null;
        });
  }

  @Override
  public void free(Device device, long address) {
    contexts.in(
        device.index(),
        () -> {
          CudaError.check(api, api.cuMemFree_v2(address), "cuMemFree");
          return null;
        });
  }
}
