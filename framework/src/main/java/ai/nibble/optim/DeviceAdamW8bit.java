package ai.nibble.optim;

import ai.nibble.cuda.AdamW8Kernels;
import ai.nibble.cuda.OptimizerKernels;
import ai.nibble.nn.ParameterSet;
import ai.nibble.quant.DynamicMap;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Device;
import ai.nibble.tensor.Pages;
import ai.nibble.tensor.Tensor;
import java.nio.ByteBuffer;
import java.nio.FloatBuffer;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * {@link AdamW8bit} where the parameters are, by kernels: the same bits as on the CPU for the same
 * gradients and norm.
 */
final class DeviceAdamW8bit extends DeviceOptimizer {
  private final AdamWConfig config;
  private final List<ParameterSlot> slots;
  private final List<Moments> moments = new ArrayList<>();

  /** Two moments of a tensor: in 8 bits, or in float32. */
  private record Moments(
      AdamW8Kernels.Moment first, AdamW8Kernels.Moment second, Tensor m, Tensor v) {
    boolean quantized() {
      return first != null;
    }
  }

  DeviceAdamW8bit(
      AdamWConfig config, List<ParameterSlot> slots, ParameterSet parameters, MomentMemory memory) {
    super(parameters, memory);
    this.config = config;
    this.slots = List.copyOf(slots);
    Tensor signed = onDevice(DynamicMap.signed().values());
    Tensor unsigned = onDevice(DynamicMap.unsigned().values());
    for (ParameterSlot slot : this.slots) {
      moments.add(
          AdamW8bit.isQuantized(slot)
              ? new Moments(
                  moment(memory, slot, DynamicMap.signed(), signed),
                  moment(memory, slot, DynamicMap.unsigned(), unsigned),
                  null,
                  null)
              : new Moments(
                  null,
                  null,
                  memory.take(DType.FLOAT32, slot.elements()).zero(),
                  memory.take(DType.FLOAT32, slot.elements()).zero()));
    }
  }

  private Device device() {
    return parameters().values().device();
  }

  private Tensor onDevice(float[] values) {
    Tensor tensor = parameters().own(Tensor.empty(device(), DType.FLOAT32, values.length));
    return tensor.setFloats(FloatBuffer.wrap(values));
  }

  private static AdamW8Kernels.Moment moment(
      MomentMemory memory, ParameterSlot slot, DynamicMap map, Tensor mapOnDevice) {
    int n = slot.elements();
    Tensor codes = memory.take(DType.UINT8, n);
    setCodes(codes, map, FloatBuffer.allocate(n));
    Tensor absmax = memory.take(DType.FLOAT32, AdamW8bit.blocks(n)).zero();
    return new AdamW8Kernels.Moment(codes, absmax, mapOnDevice);
  }

  /** Bytes of the moments of these tensors in pages. */
  static long momentBytes(List<ParameterSlot> slots) {
    long bytes = 0;
    for (ParameterSlot slot : slots) {
      int n = slot.elements();
      bytes +=
          AdamW8bit.isQuantized(slot)
              ? Pages.bytesFor(DType.UINT8, n) + Pages.bytesFor(DType.FLOAT32, AdamW8bit.blocks(n))
              : Pages.bytesFor(DType.FLOAT32, n);
    }
    return 2 * bytes;
  }

  private static void setCodes(Tensor codes, DynamicMap map, FloatBuffer values) {
    try (Tensor host = Tensor.empty(DType.UINT8, codes.numel())) {
      ByteBuffer bytes = host.bytes(0, Math.toIntExact(host.byteSize()));
      for (int i = 0; i < values.limit(); i++) {
        bytes.put(i, map.nearest(values.get(i)));
      }
      codes.copyFrom(host);
    }
  }

  private static FloatBuffer values(Tensor codes, DynamicMap map) {
    FloatBuffer values = FloatBuffer.allocate(Math.toIntExact(codes.numel()));
    try (Tensor host = codes.to(Device.CPU)) {
      ByteBuffer bytes = host.bytes(0, Math.toIntExact(host.byteSize()));
      for (int i = 0; i < values.limit(); i++) {
        values.put(i, map.value(bytes.get(i)));
      }
    }
    return values;
  }

  @Override
  void update(Tensor grads, Tensor factor, double learningRate, long step) {
    for (int k = 0; k < slots.size(); k++) {
      ParameterSlot slot = slots.get(k);
      Moments own = moments.get(k);
      AdamWUpdate u =
          AdamWUpdate.of(
              config, slot.range().weightDecay(), learningRate * slot.range().lrMultiplier(), step);
      try (Tensor p = parameters().values().narrow(0, slot.begin(), slot.elements());
          Tensor g = grads.narrow(0, slot.begin(), slot.elements())) {
        if (own.quantized()) {
          AdamW8Kernels.update(p, g, own.first, own.second, factor, u.constants());
        } else {
          OptimizerKernels.adamW(p, g, own.m, own.v, factor, u.constants());
        }
      }
    }
  }

  @Override
  public OptimizerState state() {
    FloatBuffer m = FlatFloats.allocate(Math.toIntExact(parameters().numel()));
    FloatBuffer v = FlatFloats.allocate(m.limit());
    Map<String, FloatBuffer> absmax = new LinkedHashMap<>();
    for (int k = 0; k < slots.size(); k++) {
      ParameterSlot slot = slots.get(k);
      Moments own = moments.get(k);
      if (!own.quantized()) {
        m.put(slot.begin(), own.m.toFloats());
        v.put(slot.begin(), own.v.toFloats());
        continue;
      }
      m.put(slot.begin(), values(own.first.codes(), DynamicMap.signed()).array());
      v.put(slot.begin(), values(own.second.codes(), DynamicMap.unsigned()).array());
      absmax.put(AdamW8bit.firstAbsmax(slot), FloatBuffer.wrap(own.first.absmax().toFloats()));
      absmax.put(AdamW8bit.secondAbsmax(slot), FloatBuffer.wrap(own.second.absmax().toFloats()));
    }
    return new OptimizerState(steps(), AdamW8bit.buffers(m, v), absmax);
  }

  @Override
  void copyIn(OptimizerState saved) {
    for (int k = 0; k < slots.size(); k++) {
      ParameterSlot slot = slots.get(k);
      Moments own = moments.get(k);
      FloatBuffer m = part(saved, AdamW.EXP_AVG, slot);
      FloatBuffer v = part(saved, AdamW.EXP_AVG_SQ, slot);
      if (!own.quantized()) {
        own.m.setFloats(m);
        own.v.setFloats(v);
        continue;
      }
      setCodes(own.first.codes(), DynamicMap.signed(), m);
      setCodes(own.second.codes(), DynamicMap.unsigned(), v);
      own.first.absmax().setFloats(saved.vectors().get(AdamW8bit.firstAbsmax(slot)));
      own.second.absmax().setFloats(saved.vectors().get(AdamW8bit.secondAbsmax(slot)));
    }
  }

  private static FloatBuffer part(OptimizerState saved, String name, ParameterSlot slot) {
    return saved.buffers().get(name).slice(slot.begin(), slot.elements());
  }
}
