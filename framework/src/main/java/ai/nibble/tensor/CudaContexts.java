package ai.nibble.tensor;

import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Supplier;

/**
 * The primary contexts of devices, libtorch's, held until the process ends. What needs one current
 * gets it for the time of a call: libtorch takes the device of the current context for the thread's
 * own.
 */
final class CudaContexts {
  private final CudaApi api;
  private final Map<Integer, Long> contexts = new ConcurrentHashMap<>();

  /**
   * @param api of a driver that is initialised
   */
  CudaContexts(CudaApi api) {
    this.api = api;
  }

  /** A device's context. */
  long of(int device) {
    Long known = contexts.get(device);
    return known != null
        ? known
        : contexts.computeIfAbsent(
            device,
            ordinal -> {
              long[] context = new long[1];
              int code = api.cuDevicePrimaryCtxRetain(context, CudaDevices.handle(api, ordinal));
              CudaError.check(api, code, "cuDevicePrimaryCtxRetain");
              return context[0];
            });
  }

  /** Does something while a device's context is current. */
  <T> T in(int device, Supplier<T> body) {
    LaunchFrame frame = LaunchFrame.ofThread();
    long context = of(device);
    CudaError.check(api, api.cuCtxGetCurrent(frame.contextAddress()), "cuCtxGetCurrent");
    long previous = frame.context();
    if (previous == context) {
      return body.get();
    }
    CudaError.check(api, api.cuCtxSetCurrent(context), "cuCtxSetCurrent");
    try {
      return body.get();
    } finally {
      CudaError.check(api, api.cuCtxSetCurrent(previous), "cuCtxSetCurrent");
    }
  }
}
