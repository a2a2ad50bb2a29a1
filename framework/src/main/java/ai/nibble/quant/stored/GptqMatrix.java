package ai.nibble.quant.stored;

import ai.nibble.InvalidInputException;
import ai.nibble.quant.CodeSource;
import ai.nibble.safetensors.SafetensorsType;
import java.nio.IntBuffer;
import java.util.ArrayList;
import java.util.List;

/**
 * A matrix of GPTQ: codes are packed along the columns, in qweight int32 {@code [in · bits / 32,
 * out]}, zeros along the rows, in qzeros int32 {@code [groups, out · bits / 32]}.
 */
final class GptqMatrix extends IntegerMatrix {
  private final QuantizationConfig.Gptq config;

  private GptqMatrix(TensorParts tensors, String qweight, QuantizationConfig.Gptq config, long in) {
    super(tensors, qweight, config.bits(), config.groupSize(), in);
    this.config = config;
  }

  /**
   * Checks the tensors' headers.
   *
   * @throws InvalidInputException if the parts do not fit together
   */
  static GptqMatrix open(TensorParts tensors, String qweight, QuantizationConfig.Gptq config) {
    List<Long> shape = tensors.header(qweight).shape();
    long in = shape.isEmpty() ? 0 : shape.get(0) * Integer.SIZE / config.bits();
    if (in == 0 || !PackedIntegers.fill(in, config.bits())) {
      throw new InvalidInputException(
          tensors.place(qweight)
              + " has shape "
              + shape
              + ", expected rows of whole words of "
              + config.bits()
              + "-bit codes: 'bits' is another model's");
    }
    GptqMatrix matrix = new GptqMatrix(tensors, qweight, config, in);
    matrix.check();
    return matrix;
  }

  private void check() {
    if (!PackedIntegers.fill(out(), bits)) {
      throw new InvalidInputException(
          tensors.place(module + QWEIGHT)
              + " has "
              + out()
              + " output features, whose zeros of "
              + bits
              + " bits fill no whole words, expected a multiple of 32");
    }
    requireWords(QWEIGHT, PackedIntegers.words(in(), bits), out());
    requireWords(QZEROS, groups(), PackedIntegers.words(out(), bits));
    if (tensors.has(module + G_IDX)) {
      tensors.require(name(), module + G_IDX, SafetensorsType.I32, List.of(List.of(in())));
    } else if (config.descAct()) {
      throw new InvalidInputException(
          tensors.place(module + QWEIGHT)
              + " has no g_idx beside it, expected one, as 'desc_act' is true: without it nobody"
              + " knows a column's group; fetch all of the model's files again");
    }
  }

  @Override
  public List<String> parts() {
    List<String> parts =
        new ArrayList<>(List.of(module + QWEIGHT, module + QZEROS, module + SCALES));
    if (tensors.has(module + G_IDX)) {
      parts.add(module + G_IDX);
    }
    return parts;
  }

  @Override
  public String description() {
    return "GPTQ, "
        + bits
        + " bits, "
        + (groups() == 1 ? "one group a row" : "groups of " + groupSize())
        + (config.descAct() ? ", act order" : "");
  }

  @Override
  int[] groupOf() {
    if (tensors.has(module + G_IDX)) {
      return tensors.ints(module + G_IDX);
    }
    int[] groupOf = new int[(int) in()];
    for (int c = 0; c < groupOf.length; c++) {
      groupOf[c] = c / groupSize();
    }
    return groupOf;
  }

  @Override
  byte[] zeros() {
    int[] words = tensors.ints(module + QZEROS);
    int rows = (int) out();
    int wordsAGroup = (int) PackedIntegers.words(rows, bits);
    byte[] zeros = new byte[(int) groups() * rows];
    int[] group = new int[wordsAGroup];
    for (int g = 0; g < groups(); g++) {
      System.arraycopy(words, g * wordsAGroup, group, 0, wordsAGroup);
      PackedIntegers.unpack(group, bits, zeros, g * rows, rows);
    }
    GptqZeros.restore(tensors.place(module + QZEROS), zeros, config);
    return zeros;
  }

  @Override
  CodeSource codes(IntBuffer words) {
    int rows = (int) out();
    int in = (int) in();
    int wordsAColumn = (int) PackedIntegers.words(in, bits);
    return (firstRow, count, codes) -> {
      int[][] columns = new int[count][wordsAColumn];
      int[] some = new int[count];
      for (int w = 0; w < wordsAColumn; w++) {
        words.get(w * rows + (int) firstRow, some);
        for (int r = 0; r < count; r++) {
          columns[r][w] = some[r];
        }
      }
      for (int r = 0; r < count; r++) {
        PackedIntegers.unpack(columns[r], bits, codes, r * in, in);
      }
    };
  }
}
