package ai.nibble.quant;

import ai.nibble.InvalidInputException;

/**
 * How a weight is quantised to 4 bits.
 *
 * @param type the 16 values
 * @param blockSize consecutive elements that share one absmax: a power of two from 32 to 4096
 * @param doubleQuant whether the absmax values are themselves quantised to 8 bits, which takes
 *     4.127 instead of 4.5 bits a parameter at block size 64
 * @param skipModules modules that stay as stored
 */
public record Quant4Config(
    Quant4Type type, int blockSize, boolean doubleQuant, SkipModules skipModules)
    implements QuantConfig {
  /** Smallest block that bitsandbytes has a kernel for. */
  public static final int MIN_BLOCK_SIZE = 32;

  /** Largest block that bitsandbytes has a kernel for. */
  public static final int MAX_BLOCK_SIZE = 4096;

  /**
   * @throws InvalidInputException where the block size is not one that bitsandbytes reads
   */
  public Quant4Config {
    if (type == null) {
      throw new InvalidInputException(
          "4-bit quantisation type is missing, expected nf4 or fp4: name one of these");
    }
    if (blockSize < MIN_BLOCK_SIZE
        || blockSize > MAX_BLOCK_SIZE
        || Integer.bitCount(blockSize) != 1) {
      throw new InvalidInputException(
          "4-bit quantisation block size is "
              + blockSize
              + ", expected a power of two from "
              + MIN_BLOCK_SIZE
              + " to "
              + MAX_BLOCK_SIZE
              + ": 64 is the usual one");
    }
  }

  /** All linears. */
  public Quant4Config(Quant4Type type, int blockSize, boolean doubleQuant) {
    this(type, blockSize, doubleQuant, SkipModules.NONE);
  }

  @Override
  public String description() {
    return type.key()
        + ", blocks of "
        + blockSize
        + (doubleQuant ? ", double quantisation" : "")
        + skipModules;
  }

  /** Blocks in a weight of n elements, the last of which may be short. */
  public long blocks(long n) {
    return (n + blockSize - 1) / blockSize;
  }
}
