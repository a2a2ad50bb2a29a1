package ai.nibble.cuda.composed;

import ai.nibble.tensor.Aten;
import ai.nibble.tensor.Device;
import ai.nibble.tensor.Tensor;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

/**
 * Small constant tables on devices. A copy to a GPU waits until the GPU is idle, so each table is
 * copied once to each and stays there.
 */
final class Tables {
  private record Key(Device device, String name) {}

  private static final Map<Key, Tensor> ON_GPUS = new ConcurrentHashMap<>();

  private Tables() {}

  /**
   * A float32 table beside a tensor.
   *
   * @param name of the table, which tells it from all others
   * @param shape of as many elements as there are values
   */
  static Tensor of(Aten at, Tensor beside, String name, float[] values, long... shape) {
    if (beside.device().isCpu()) {
      return at.own(Tensor.of(beside.device(), values, shape));
    }
    return ON_GPUS.computeIfAbsent(
        new Key(beside.device(), name), key -> Tensor.of(key.device(), values, shape));
  }
}
