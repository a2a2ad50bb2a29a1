package ai.nibble.export.quantize;

import ai.nibble.export.PlainTensor;
import ai.nibble.export.ShardWriter;
import ai.nibble.model.CausalLm;
import ai.nibble.model.WeightSource;
import ai.nibble.nn.Quant4Weight;
import ai.nibble.quant.ElementSource;
import ai.nibble.quant.NestedAbsmax;
import ai.nibble.quant.Quant4Config;
import ai.nibble.quant.QuantConfig;
import ai.nibble.quant.Quantized4Bit;
import ai.nibble.quant.Quantized8Bit;
import ai.nibble.quant.stored.BitsAndBytesTensors;
import ai.nibble.quant.stored.QuantState;
import ai.nibble.safetensors.SafetensorsWriter;
import ai.nibble.safetensors.TensorSpec;
import ai.nibble.tensor.DType;
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.OptionalDouble;
import java.util.Set;

/**
 * A base's tensors with its linears quantised. One weight is in memory at a time, quantised.
 *
 * <p>A file begins with the sizes of its tensors, and the size of a quantisation state is known
 * when the mean of all scales of its weight is, whose digits it holds. So with double quantisation
 * a weight is quantised twice: for that number, then to be written.
 */
final class QuantizedContent implements ShardWriter.Content {
  /** More than the bytes of a quantisation state and the tables beside it. */
  private static final long STATE_AND_TABLES = 2048;

  private final WeightSource base;
  private final QuantConfig config;
  private final Set<String> quantized = new HashSet<>();
  private final Map<String, QuantState> states = new HashMap<>();

  QuantizedContent(WeightSource base, QuantConfig config) {
    this.base = base;
    this.config = config;
    for (String path : CausalLm.linearPaths(base.config())) {
      if (config.quantizes(path)) {
        quantized.add(path + ".weight");
      }
    }
  }

  /** How many linears are quantised. */
  int linears() {
    return quantized.size();
  }

  /** The dtype that a tensor has where it is not quantised: float16 stays, unlike in training. */
  private DType dtype(String name) {
    return base.dtype(name) == DType.FLOAT16 ? DType.FLOAT16 : base.heldDtype(name);
  }

  private ElementSource values(String name) {
    return dtype(name) == DType.FLOAT16
        ? (first, into, count) -> base.read(name, first, into, 0, count)
        : (first, into, count) -> base.readHeld(name, first, into, 0, count);
  }

  @Override
  public Collection<String> names() {
    return base.names();
  }

  @Override
  public long bytes(String name) {
    if (!quantized.contains(name)) {
      return new PlainTensor(base, name, dtype(name)).spec().bytes();
    }
    long[] shape = base.shape(name);
    long n = shape[0] * shape[1];
    if (config instanceof Quant4Config c) {
      long blocks = c.blocks(n);
      return (n + 1) / 2 + blocks * (c.doubleQuant() ? 1 : Float.BYTES) + STATE_AND_TABLES;
    }
    return n + shape[0] * Float.BYTES;
  }

  @Override
  public List<TensorSpec> specs(String name) {
    if (!quantized.contains(name)) {
      return List.of(new PlainTensor(base, name, dtype(name)).spec());
    }
    long[] shape = base.shape(name);
    return config instanceof Quant4Config c
        ? BitsAndBytesTensors.specs(name, state(name, c))
        : BitsAndBytesTensors.specs8(name, shape[0], shape[1]);
  }

  private QuantState state(String name, Quant4Config c) {
    return states.computeIfAbsent(
        name,
        n -> {
          long[] shape = base.shape(n);
          OptionalDouble offset = OptionalDouble.empty();
          if (c.doubleQuant()) {
            try (Quantized4Bit weight = quantize(n, c)) {
              offset = OptionalDouble.of(weight.nested().map(NestedAbsmax::offset).orElseThrow());
            }
          }
          return new QuantState(c, dtype(n), shape[0], shape[1], offset);
        });
  }

  private Quantized4Bit quantize(String name, Quant4Config c) {
    long[] shape = base.shape(name);
    return Quant4Weight.quantize(name, c, dtype(name), shape[0], shape[1], values(name))
        .quantized();
  }

  @Override
  public void write(String name, SafetensorsWriter writer) {
    if (!quantized.contains(name)) {
      new PlainTensor(base, name, dtype(name)).write(writer);
      return;
    }
    if (config instanceof Quant4Config c) {
      try (Quantized4Bit weight = quantize(name, c)) {
        BitsAndBytesTensors.write(weight, states.remove(name), writer);
      }
      return;
    }
    long[] shape = base.shape(name);
    try (Quantized8Bit weight = Quantized8Bit.quantize(name, shape[0], shape[1], values(name))) {
      BitsAndBytesTensors.write(weight, writer);
    }
  }
}
