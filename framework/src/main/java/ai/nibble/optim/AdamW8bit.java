package ai.nibble.optim;

import ai.nibble.nn.ParameterSet;
import ai.nibble.quant.DynamicMap;
import ai.nibble.tensor.KernelLaunchers;
import ai.nibble.tensor.Parallel;
import java.nio.FloatBuffer;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * AdamW whose moments are kept in 8 bits: 2 bytes a value instead of 8 (Dettmers et al. 2022,
 * "8-bit Optimizers via Block-wise Quantization"). A moment is {@code map[code]·absmax}, absmax the
 * greatest magnitude of its block of 256 values, counted from the start of each tensor; the first
 * moment has a map with signs. Tensors below 4096 values keep their moments in float32, as with
 * bitsandbytes. The update is {@link AdamW}'s, on the moments decoded.
 *
 * <p>State: {@code exp_avg} and {@code exp_avg_sq} hold the codes' values in the map (or moments in
 * float32), vectors {@code exp_avg_absmax} and {@code exp_avg_sq_absmax} their blocks' magnitudes.
 */
public final class AdamW8bit extends SlotOptimizer {
  /** Values that share a greatest magnitude. */
  static final int BLOCK = 256;

  /** Fewest values of a tensor whose moments are kept in 8 bits. */
  static final int MIN_8BIT_SIZE = 4096;

  private static final String ABSMAX = "_absmax/";

  private static final DynamicMap SIGNED = DynamicMap.signed();
  private static final DynamicMap UNSIGNED = DynamicMap.unsigned();

  private final AdamWConfig config;
  private final Moments[] moments;

  /** Where the parameters are. */
  static Optimizer over(ParameterSet parameters, AdamWConfig config, List<ParameterRange> ranges) {
    List<ParameterSlot> slots = ParameterSlot.of(parameters, ranges);
    return KernelLaunchers.serves(parameters.values().device())
        ? new DeviceAdamW8bit(config, slots, parameters, MomentMemory.resident(parameters))
        : new AdamW8bit(config, slots);
  }

  AdamW8bit(AdamWConfig config, List<ParameterSlot> slots) {
    super(slots);
    this.config = config;
    this.moments = new Moments[slots.size()];
    for (int k = 0; k < moments.length; k++) {
      int n = slots.get(k).elements();
      moments[k] =
          isQuantized(slots.get(k))
              ? new Moments(new Quantized(n, SIGNED), new Quantized(n, UNSIGNED), null, null)
              : new Moments(null, null, new float[n], new float[n]);
    }
  }

  static boolean isQuantized(ParameterSlot slot) {
    return slot.elements() >= MIN_8BIT_SIZE;
  }

  static int blocks(int elements) {
    return (elements + BLOCK - 1) / BLOCK;
  }

  /** Two moments of a tensor: in 8 bits, or in float32. */
  private record Moments(Quantized first, Quantized second, float[] m, float[] v) {
    boolean quantized() {
      return first != null;
    }
  }

  /** Values in 8 bits. */
  private static final class Quantized {
    private final DynamicMap map;
    private final byte[] codes;
    private final float[] absmax;

    Quantized(int elements, DynamicMap map) {
      this.map = map;
      this.codes = new byte[elements];
      Arrays.fill(codes, map.nearest(0));
      this.absmax = new float[blocks(elements)];
    }

    void decode(int begin, float[] into, int n) {
      float scale = absmax[begin / BLOCK];
      for (int i = 0; i < n; i++) {
        into[i] = map.value(codes[begin + i]) * scale;
      }
    }

    void encode(int begin, float[] from, int n) {
      float most = 0;
      for (int i = 0; i < n; i++) {
        most = Math.max(most, Math.abs(from[i]));
      }
      absmax[begin / BLOCK] = most;
      for (int i = 0; i < n; i++) {
        codes[begin + i] = map.nearest(most > 0 ? from[i] / most : 0);
      }
    }

    void values(float[] into) {
      for (int i = 0; i < into.length; i++) {
        into[i] = map.value(codes[i]);
      }
    }

    void restore(float[] values, FloatBuffer absmaxes) {
      for (int i = 0; i < codes.length; i++) {
        codes[i] = map.nearest(values[i]);
      }
      absmaxes.get(0, absmax);
    }
  }

  @Override
  void update(int index, float[] params, float[] grads, double lr, long step) {
    AdamWUpdate update = AdamWUpdate.of(config, slots().get(index).range().weightDecay(), lr, step);
    Moments own = moments[index];
    if (!own.quantized()) {
      update.fused(params, grads, own.m, own.v, params.length);
      return;
    }
    Parallel.forRanges(
        blocks(params.length),
        FlatFloats.GRAIN / BLOCK,
        (begin, end) -> {
          float[] p = new float[BLOCK];
          float[] g = new float[BLOCK];
          float[] m = new float[BLOCK];
          float[] v = new float[BLOCK];
          for (int block = (int) begin; block < end; block++) {
            int at = block * BLOCK;
            int n = Math.min(BLOCK, params.length - at);
            System.arraycopy(params, at, p, 0, n);
            System.arraycopy(grads, at, g, 0, n);
            own.first.decode(at, m, n);
            own.second.decode(at, v, n);
            update.fused(p, g, m, v, n);
            System.arraycopy(p, 0, params, at, n);
            own.first.encode(at, m, n);
            own.second.encode(at, v, n);
          }
        });
  }

  @Override
  public OptimizerState state() {
    FloatBuffer m = FlatFloats.allocate(elements());
    FloatBuffer v = FlatFloats.allocate(elements());
    Map<String, FloatBuffer> absmax = new LinkedHashMap<>();
    for (int k = 0; k < moments.length; k++) {
      ParameterSlot slot = slots().get(k);
      Moments own = moments[k];
      if (!own.quantized()) {
        m.put(slot.begin(), own.m);
        v.put(slot.begin(), own.v);
        continue;
      }
      float[] values = new float[slot.elements()];
      own.first.values(values);
      m.put(slot.begin(), values);
      own.second.values(values);
      v.put(slot.begin(), values);
      absmax.put(firstAbsmax(slot), FloatBuffer.wrap(own.first.absmax));
      absmax.put(secondAbsmax(slot), FloatBuffer.wrap(own.second.absmax));
    }
    return new OptimizerState(steps(), buffers(m, v), absmax);
  }

  static Map<String, FloatBuffer> buffers(FloatBuffer m, FloatBuffer v) {
    Map<String, FloatBuffer> buffers = new LinkedHashMap<>();
    buffers.put(AdamW.EXP_AVG, m);
    buffers.put(AdamW.EXP_AVG_SQ, v);
    return buffers;
  }

  static String firstAbsmax(ParameterSlot slot) {
    return AdamW.EXP_AVG + ABSMAX + slot.name();
  }

  static String secondAbsmax(ParameterSlot slot) {
    return AdamW.EXP_AVG_SQ + ABSMAX + slot.name();
  }

  @Override
  void copyIn(OptimizerState saved) {
    FloatBuffer m = saved.buffers().get(AdamW.EXP_AVG);
    FloatBuffer v = saved.buffers().get(AdamW.EXP_AVG_SQ);
    for (int k = 0; k < moments.length; k++) {
      ParameterSlot slot = slots().get(k);
      Moments own = moments[k];
      if (!own.quantized()) {
        m.get(slot.begin(), own.m);
        v.get(slot.begin(), own.v);
        continue;
      }
      float[] values = new float[slot.elements()];
      m.get(slot.begin(), values);
      own.first.restore(values, saved.vectors().get(firstAbsmax(slot)));
      v.get(slot.begin(), values);
      own.second.restore(values, saved.vectors().get(secondAbsmax(slot)));
    }
  }
}
