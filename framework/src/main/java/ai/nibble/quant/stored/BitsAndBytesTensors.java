package ai.nibble.quant.stored;

import ai.nibble.quant.NestedAbsmax;
import ai.nibble.quant.Quant4Config;
import ai.nibble.quant.Quantized4Bit;
import ai.nibble.quant.Quantized8Bit;
import ai.nibble.safetensors.SafetensorsType;
import ai.nibble.safetensors.SafetensorsWriter;
import ai.nibble.safetensors.TensorSpec;
import ai.nibble.tensor.Tensor;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.List;

/** Writes quantised weights as bitsandbytes does, under the names that it gives their tensors. */
public final class BitsAndBytesTensors {
  /** Bytes written at a time. */
  private static final int WINDOW = 1 << 24;

  private BitsAndBytesTensors() {}

  /** The tensors of a weight of 4 bits. */
  public static List<TensorSpec> specs(String name, QuantState state) {
    Quant4Config config = state.config();
    long n = state.out() * state.in();
    long blocks = config.blocks(n);
    boolean nested = config.doubleQuant();
    List<TensorSpec> specs = new ArrayList<>();
    specs.add(spec(name, SafetensorsType.U8, (n + 1) / 2, 1));
    specs.add(
        spec(
            name + BitsAndBytes4.ABSMAX,
            nested ? SafetensorsType.U8 : SafetensorsType.F32,
            blocks));
    specs.add(
        spec(name + BitsAndBytes4.QUANT_MAP, SafetensorsType.F32, config.type().codes().length));
    if (nested) {
      long second = (blocks + NestedAbsmax.BLOCK_SIZE - 1) / NestedAbsmax.BLOCK_SIZE;
      specs.add(spec(name + BitsAndBytes4.NESTED_ABSMAX, SafetensorsType.F32, second));
      specs.add(
          spec(
              name + BitsAndBytes4.NESTED_QUANT_MAP,
              SafetensorsType.F32,
              BitsAndBytes4.NESTED_CODES));
    }
    specs.add(spec(stateName(name, config), SafetensorsType.U8, state.json().length));
    return specs;
  }

  private static String stateName(String name, Quant4Config config) {
    return name + QuantState.SUFFIX + config.type().key();
  }

  /**
   * Writes a weight of 4 bits.
   *
   * @param weight on the CPU
   * @param state of which {@link #specs} were announced
   */
  public static void write(Quantized4Bit weight, QuantState state, SafetensorsWriter writer) {
    String name = weight.name();
    write(writer, name, weight.packed());
    write(writer, name + BitsAndBytes4.ABSMAX, weight.absmax());
    write(writer, name + BitsAndBytes4.QUANT_MAP, weight.config().type().codes());
    weight
        .nested()
        .ifPresent(
            nested -> {
              write(writer, name + BitsAndBytes4.NESTED_ABSMAX, nested.absmax2());
              write(writer, name + BitsAndBytes4.NESTED_QUANT_MAP, nested.map());
            });
    writer.write(stateName(name, weight.config()), ByteBuffer.wrap(state.json()));
  }

  /** The tensors of a weight of 8 bits. */
  public static List<TensorSpec> specs8(String name, long out, long in) {
    String module = module(name);
    return List.of(
        spec(name, SafetensorsType.I8, out, in),
        spec(module + BitsAndBytes8.SCB, SafetensorsType.F32, out),
        spec(module + BitsAndBytes8.WEIGHT_FORMAT, SafetensorsType.U8));
  }

  /** Writes a weight of 8 bits, which is on the CPU. */
  public static void write(Quantized8Bit weight, SafetensorsWriter writer) {
    String module = module(weight.name());
    write(writer, weight.name(), weight.codes());
    write(writer, module + BitsAndBytes8.SCB, weight.absmax());
    writer.write(module + BitsAndBytes8.WEIGHT_FORMAT, ByteBuffer.wrap(new byte[1])); // by rows
  }

  private static String module(String name) {
    return name.substring(0, name.length() - BitsAndBytes8.WEIGHT.length());
  }

  private static TensorSpec spec(String name, SafetensorsType type, long... shape) {
    List<Long> sizes = new ArrayList<>();
    for (long size : shape) {
      sizes.add(size);
    }
    return new TensorSpec(name, type, sizes);
  }

  private static void write(SafetensorsWriter writer, String name, Tensor tensor) {
    long bytes = tensor.byteSize();
    for (long at = 0; at < bytes; at += WINDOW) {
      writer.write(name, tensor.bytes(at, (int) Math.min(WINDOW, bytes - at)));
    }
  }

  private static void write(SafetensorsWriter writer, String name, float[] values) {
    ByteBuffer bytes =
        ByteBuffer.allocate(values.length * Float.BYTES).order(ByteOrder.LITTLE_ENDIAN);
    bytes.asFloatBuffer().put(values);
    writer.write(name, bytes);
  }
}
