package ai.nibble.model;

import ai.nibble.quant.NestedAbsmax;
import ai.nibble.quant.Quant4Config;
import ai.nibble.quant.QuantConfig;
import ai.nibble.quant.stored.StoredMatrix;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Device;
import ai.nibble.tensor.TensorMemory;
import java.util.EnumMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.UnaryOperator;

/**
 * Bytes of a frozen model's weights as {@link WeightLoader} will hold them, from names, shapes and
 * dtypes alone.
 *
 * @param held bytes of each form
 * @param whileLoading most bytes beside what is held, while one weight is read and quantised
 */
public record WeightSizes(Map<Form, Long> held, long whileLoading) {
  /** How a weight, or part of it, is held. */
  public enum Form {
    /** Packed 4-bit codes. */
    CODES_4BIT,
    /** Scales of blocks of codes, nested or plain. */
    ABSMAX,
    /** int8 codes with a scale a row. */
    CODES_8BIT,
    /** Plain values: embedding, norms, head, and linears that are not quantised. */
    DENSE,
    /** Values of an adapter, float32, that stay what they are. */
    FROZEN_ADAPTER
  }

  public WeightSizes {
    held = Map.copyOf(held);
  }

  /** Sum over the forms. */
  public long total() {
    return held.values().stream().mapToLong(Long::longValue).sum();
  }

  /** With bytes of an adapter that stays what it is. */
  public WeightSizes withFrozenAdapter(long bytes) {
    Map<Form, Long> more = new EnumMap<>(Form.class);
    more.putAll(held);
    more.merge(Form.FROZEN_ADAPTER, bytes, Long::sum);
    return new WeightSizes(more, whileLoading);
  }

  /** Bytes of one form. */
  public long of(Form form) {
    return held.getOrDefault(form, 0L);
  }

  /**
   * Sizes of a base's weights.
   *
   * @param quantization of the linears; empty: as stored
   * @param where they will be
   */
  public static WeightSizes of(
      WeightSource source, Optional<QuantConfig> quantization, Device.Type where) {
    return byPart(source, quantization, where, name -> "")
        .getOrDefault("", new WeightSizes(Map.of(), 0));
  }

  /**
   * Sizes of the weights of each part of a base.
   *
   * @param part the part that a tensor is of, by its name
   */
  public static Map<String, WeightSizes> byPart(
      WeightSource source,
      Optional<QuantConfig> quantization,
      Device.Type where,
      UnaryOperator<String> part) {
    Map<String, Sum> sums = new LinkedHashMap<>();
    Optional<QuantConfig> wanted = source.settle(quantization, notice -> {});
    Set<String> linears = new HashSet<>(CausalLm.linearPaths(source.config()));
    for (String name : source.names()) {
      String module = name.replaceFirst("\\.weight$", "");
      Sum sum = sums.computeIfAbsent(part.apply(name), p -> new Sum(where));
      long n = elements(source, name);
      Optional<StoredMatrix> stored = source.quantized(name);
      if (stored.isPresent()) {
        sum.addStored(stored.get());
        continue;
      }
      boolean quantised =
          name.endsWith(".weight")
              && linears.contains(module)
              && wanted.filter(q -> q.quantizes(module)).isPresent();
      if (quantised && wanted.get() instanceof Quant4Config config) {
        sum.add4Bit(config, n);
      } else if (quantised) {
        sum.add8Bit(n, source.shape(name)[0]);
      } else {
        boolean matrix = source.shape(name).length > 1;
        sum.addDense(matrix ? source.heldDtype(name) : DType.FLOAT32, n);
      }
    }
    Map<String, WeightSizes> sizes = new LinkedHashMap<>();
    sums.forEach((p, sum) -> sizes.put(p, new WeightSizes(sum.held, sum.loading)));
    return sizes;
  }

  private static long elements(WeightSource source, String name) {
    long n = 1;
    for (long size : source.shape(name)) {
      n *= size;
    }
    return n;
  }

  private static final class Sum {
    private final Device.Type where;
    private final Map<Form, Long> held = new EnumMap<>(Form.class);
    private long loading;

    Sum(Device.Type where) {
      this.where = where;
    }

    private void add(Form form, DType dtype, long elements) {
      long bytes = TensorMemory.allocatedBytes(where, dtype.bytes() * elements);
      held.merge(form, bytes, Long::sum);
    }

    /** Codes and scales go from the file to where they are held. */
    void addStored(StoredMatrix matrix) {
      add(matrix.bits() == 4 ? Form.CODES_4BIT : Form.CODES_8BIT, DType.UINT8, matrix.codeBytes());
      add(matrix.bits() == 4 ? Form.ABSMAX : Form.CODES_8BIT, DType.UINT8, matrix.scaleBytes());
      if (where != Device.Type.CPU) {
        add(Form.ABSMAX, DType.UINT8, matrix.columnBytes());
      }
      loading = Math.max(loading, onHost(matrix.codeBytes() + matrix.scaleBytes()));
    }

    /** The scales are float32 until all of a weight are known. */
    void add4Bit(Quant4Config config, long n) {
      long blocks = config.blocks(n);
      add(Form.CODES_4BIT, DType.UINT8, (n + 1) / 2);
      add(Form.ABSMAX, config.doubleQuant() ? DType.UINT8 : DType.FLOAT32, blocks);
      if (config.doubleQuant()) {
        long second = (blocks + NestedAbsmax.BLOCK_SIZE - 1) / NestedAbsmax.BLOCK_SIZE;
        held.merge(Form.ABSMAX, second * DType.FLOAT32.bytes(), Long::sum);
      }
      loading = Math.max(loading, onHost((n + 1) / 2) + blocks * DType.FLOAT32.bytes());
    }

    void add8Bit(long n, long rows) {
      add(Form.CODES_8BIT, DType.INT8, n);
      add(Form.CODES_8BIT, DType.FLOAT32, rows);
      loading = Math.max(loading, onHost(n));
    }

    void addDense(DType dtype, long n) {
      add(Form.DENSE, dtype, n);
      loading = Math.max(loading, onHost(dtype.bytes() * n));
    }

    /** A weight for a device is made on the host and copied. */
    private long onHost(long bytes) {
      return where == Device.Type.CPU ? 0 : bytes;
    }
  }
}
