package ai.nibble.quant.stored;

import ai.nibble.InvalidInputException;
import ai.nibble.quant.NestedAbsmax;
import ai.nibble.quant.Quant4Config;
import ai.nibble.quant.Quantized4Bit;
import ai.nibble.safetensors.SafetensorsTensor;
import ai.nibble.safetensors.SafetensorsType;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Scope;
import ai.nibble.tensor.Tensor;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;

/** A matrix that bitsandbytes wrote in 4 bits: NF4 or FP4, with plain or nested absmax. */
final class BitsAndBytes4 implements StoredMatrix {
  static final String ABSMAX = ".absmax";
  static final String QUANT_MAP = ".quant_map";
  static final String NESTED_ABSMAX = ".nested_absmax";
  static final String NESTED_QUANT_MAP = ".nested_quant_map";

  static final int NESTED_CODES = 256;

  /** More than any quantisation state has. */
  private static final int MAX_STATE_BYTES = 1 << 14;

  /** What codes may be packed into: {@code bnb_4bit_quant_storage}. */
  private static final Set<SafetensorsType> CONTAINERS =
      Set.of(
          SafetensorsType.U8,
          SafetensorsType.I8,
          SafetensorsType.BF16,
          SafetensorsType.F16,
          SafetensorsType.F32,
          SafetensorsType.F64);

  private final TensorParts tensors;
  private final String name;
  private final String stateName;
  private final QuantState state;

  private BitsAndBytes4(TensorParts tensors, String name, String stateName, QuantState state) {
    this.tensors = tensors;
    this.name = name;
    this.stateName = stateName;
    this.state = state;
  }

  /**
   * Reads the quantisation state and checks the other tensors' headers against it.
   *
   * @param stateName the tensor that ends in {@link QuantState#SUFFIX} and a code's name
   * @throws InvalidInputException if the parts do not fit together
   */
  static BitsAndBytes4 open(TensorParts tensors, String stateName) {
    int at = stateName.indexOf(QuantState.SUFFIX);
    String name = stateName.substring(0, at);
    String type = stateName.substring(at + QuantState.SUFFIX.length());
    if (tensors.header(stateName).bytes() > MAX_STATE_BYTES) {
      throw new InvalidInputException(
          tensors.place(stateName)
              + " has "
              + tensors.header(stateName).bytes()
              + " bytes, expected a few hundred: the file is damaged");
    }
    QuantState state = QuantState.parse(tensors.place(stateName), tensors.bytes(stateName), type);
    BitsAndBytes4 matrix = new BitsAndBytes4(tensors, name, stateName, state);
    matrix.check();
    return matrix;
  }

  private void check() {
    Quant4Config config = state.config();
    long n = out() * in();
    long blocks = config.blocks(n);
    checkCodes((n + 1) / 2);
    boolean nested = config.doubleQuant();
    require(ABSMAX, nested ? SafetensorsType.U8 : SafetensorsType.F32, blocks);
    require(QUANT_MAP, SafetensorsType.F32, config.type().codes().length);
    if (nested) {
      require(NESTED_ABSMAX, SafetensorsType.F32, nestedBlocks(blocks));
      require(NESTED_QUANT_MAP, SafetensorsType.F32, NESTED_CODES);
    } else if (tensors.has(name + NESTED_ABSMAX)) {
      throw new InvalidInputException(
          tensors.place(name + NESTED_ABSMAX)
              + " is there, but the quantisation state has no 'nested_offset': the file is damaged");
    }
    float[] map = tensors.floats(name + QUANT_MAP);
    float[] codes = config.type().codes();
    for (int c = 0; c < codes.length; c++) {
      if (map[c] != codes[c]) { // zeros are equal whatever their sign
        throw new InvalidInputException(
            tensors.place(name + QUANT_MAP)
                + " is "
                + map[c]
                + " at code "
                + c
                + ", expected "
                + codes[c]
                + ", as "
                + config.type().key()
                + " has it: the file is damaged or of another code");
      }
    }
  }

  private void checkCodes(long bytes) {
    if (!tensors.has(name)) {
      throw new InvalidInputException(
          tensors.place(stateName) + " belongs to '" + name + "', which is missing");
    }
    SafetensorsTensor codes = tensors.header(name);
    if (!CONTAINERS.contains(codes.type()) || codes.bytes() != bytes) {
      throw new InvalidInputException(
          tensors.place(name)
              + " is "
              + codes.type()
              + " "
              + codes.shape()
              + ", "
              + codes.bytes()
              + " bytes, but its quantisation state says ["
              + out()
              + ", "
              + in()
              + "], "
              + bytes
              + " bytes of codes: they belong to different weights; fetch the file again");
    }
  }

  private void require(String suffix, SafetensorsType type, long length) {
    tensors.require(name, name + suffix, type, List.of(List.of(length)));
  }

  private static long nestedBlocks(long blocks) {
    return (blocks + NestedAbsmax.BLOCK_SIZE - 1) / NestedAbsmax.BLOCK_SIZE;
  }

  @Override
  public String name() {
    return name;
  }

  @Override
  public long out() {
    return state.out();
  }

  @Override
  public long in() {
    return state.in();
  }

  /** How the codes were made. */
  Quant4Config config() {
    return state.config();
  }

  @Override
  public List<String> parts() {
    List<String> parts = new ArrayList<>(List.of(name, name + ABSMAX, name + QUANT_MAP, stateName));
    if (state.config().doubleQuant()) {
      parts.add(name + NESTED_ABSMAX);
      parts.add(name + NESTED_QUANT_MAP);
    }
    return parts;
  }

  @Override
  public String description() {
    return state.config().description();
  }

  @Override
  public int bits() {
    return 4;
  }

  @Override
  public long scaleBytes() {
    long blocks = state.config().blocks(out() * in());
    return state.config().doubleQuant()
        ? blocks + nestedBlocks(blocks) * Float.BYTES
        : blocks * Float.BYTES;
  }

  @Override
  public Quantized4Bit read() {
    boolean nested = state.config().doubleQuant();
    long n = out() * in();
    try (Scope scope = new Scope()) {
      Tensor codes = scope.own(tensors.tensor(name, DType.UINT8, (n + 1) / 2, 1));
      Tensor absmax =
          scope.own(
              tensors.tensor(
                  name + ABSMAX, nested ? DType.UINT8 : DType.FLOAT32, state.config().blocks(n)));
      Quantized4Bit matrix =
          Quantized4Bit.of(
              name,
              state.config(),
              state.dtype(),
              new long[] {out(), in()},
              codes,
              absmax,
              nested ? nested() : null);
      scope.release();
      return matrix;
    }
  }

  private NestedAbsmax nested() {
    return new NestedAbsmax(
        tensors.floats(name + NESTED_ABSMAX),
        tensors.floats(name + NESTED_QUANT_MAP),
        (float) state.offset().orElseThrow());
  }
}
