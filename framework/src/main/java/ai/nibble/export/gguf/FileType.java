package ai.nibble.export.gguf;

import ai.nibble.InvalidInputException;
import ai.nibble.gguf.GgmlType;
import ai.nibble.model.ModelConfig;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;

/**
 * What a file is mostly made of, under the names of {@code llama-quantize}, and the type that it
 * gives each tensor.
 *
 * <p>The choice follows llama.cpp's {@code llama-quant.cpp} for architecture {@code llama} without
 * importance matrix: one-dimensional tensors are F32; the output head (the embedding where they are
 * tied) is Q6_K in all block types but Q8_0; {@code _S} and {@code _M} give some of the tensors
 * that suffer most, {@code attn_v}, {@code ffn_down} and {@code attn_output}, a wider type. A row
 * that is no whole number of a type's blocks falls back to a type of blocks of 32, or to F16.
 */
public enum FileType {
  F32(0, GgmlType.F32),
  F16(1, GgmlType.F16),
  BF16(32, GgmlType.BF16),
  Q8_0(7, GgmlType.Q8_0),
  Q4_0(2, GgmlType.Q4_0),
  Q4_1(3, GgmlType.Q4_1),
  Q5_0(8, GgmlType.Q5_0),
  Q5_1(9, GgmlType.Q5_1),
  Q2_K(10, GgmlType.Q2_K),
  Q3_K_S(11, GgmlType.Q3_K),
  Q3_K_M(12, GgmlType.Q3_K),
  Q3_K_L(13, GgmlType.Q3_K),
  Q4_K_S(14, GgmlType.Q4_K),
  Q4_K_M(15, GgmlType.Q4_K),
  Q5_K_S(16, GgmlType.Q5_K),
  Q5_K_M(17, GgmlType.Q5_K),
  Q6_K(18, GgmlType.Q6_K);

  private static final Pattern LAYER = Pattern.compile("blk\\.(\\d+)\\.(\\w+)\\.weight");

  /** Query heads a key head from which on llama.cpp spends more on the few value weights. */
  private static final int MANY_QUERIES = 4;

  private final int number;
  private final GgmlType base;

  FileType(int number, GgmlType base) {
    this.number = number;
    this.base = base;
  }

  /**
   * What a tensor gets.
   *
   * @param type the type
   * @param fallback whether its rows did not fit the type that it should have had
   */
  public record Choice(GgmlType type, boolean fallback) {}

  /**
   * The type of that name, in either case; {@code Q3_K}, {@code Q4_K} and {@code Q5_K} mean their
   * {@code _M}, as for {@code llama-quantize}.
   *
   * @throws InvalidInputException if there is none
   */
  public static FileType named(String name) {
    String upper = name.toUpperCase(Locale.ROOT);
    String full = List.of("Q3_K", "Q4_K", "Q5_K").contains(upper) ? upper + "_M" : upper;
    return Arrays.stream(values())
        .filter(type -> type.name().equals(full))
        .findFirst()
        .orElseThrow(
            () ->
                new InvalidInputException(
                    "--type is '"
                        + name
                        + "', expected one of "
                        + Arrays.stream(values()).map(Enum::name).collect(Collectors.joining(", "))
                        + " (Q3_K, Q4_K and Q5_K mean their _M)"));
  }

  /** {@code general.file_type}: llama.cpp's {@code llama_ftype}. */
  public int number() {
    return number;
  }

  /** The type of most tensors. */
  public GgmlType base() {
    return base;
  }

  /**
   * The type of a tensor.
   *
   * @param ggufName its name in the file
   * @param rank number of its dimensions
   * @param rowElements elements of a row
   */
  public Choice typeOf(String ggufName, int rank, long rowElements, ModelConfig config) {
    if (rank < 2) {
      return new Choice(GgmlType.F32, false);
    }
    if (base.blockElements() == 1) {
      return new Choice(base, false);
    }
    GgmlType wanted = mixed(ggufName, rowElements, config);
    if (rowElements % wanted.blockElements() == 0) {
      return new Choice(wanted, false);
    }
    GgmlType narrow = fallback(wanted);
    boolean fits = rowElements % narrow.blockElements() == 0;
    return new Choice(fits ? narrow : GgmlType.F16, true);
  }

  private static GgmlType fallback(GgmlType type) {
    return switch (type) {
      case Q2_K, Q3_K -> GgmlType.Q4_0;
      case Q4_K -> GgmlType.Q5_0;
      case Q5_K -> GgmlType.Q5_1;
      case Q6_K -> GgmlType.Q8_0;
      default -> type;
    };
  }

  private GgmlType mixed(String ggufName, long rowElements, ModelConfig config) {
    String head = config.tieWordEmbeddings() ? "token_embd.weight" : "output.weight";
    if (ggufName.equals(head)) {
      boolean whole = rowElements % base.blockElements() == 0;
      return base == GgmlType.Q8_0 || !whole ? GgmlType.Q8_0 : GgmlType.Q6_K;
    }
    Matcher name = LAYER.matcher(ggufName);
    if (!name.matches()) {
      return base;
    }
    int layer = Integer.parseInt(name.group(1));
    int layers = config.numHiddenLayers();
    return switch (name.group(2)) {
      case "attn_v", "attn_qkv" -> valueType(layer, layers, config);
      case "ffn_down" -> downType(layer, layers);
      case "attn_output" -> outputType();
      default -> base;
    };
  }

  private GgmlType valueType(int layer, int layers, ModelConfig config) {
    boolean manyQueries = config.numAttentionHeads() / config.numKeyValueHeads() >= MANY_QUERIES;
    return switch (this) {
      case Q2_K -> manyQueries ? GgmlType.Q4_K : GgmlType.Q3_K;
      case Q3_K_M -> layer < 2 ? GgmlType.Q5_K : GgmlType.Q4_K;
      case Q3_K_L -> GgmlType.Q5_K;
      case Q4_K_S -> layer < 4 ? GgmlType.Q5_K : base;
      case Q4_K_M, Q5_K_M -> moreBits(layer, layers) ? GgmlType.Q6_K : base;
      default -> base;
    };
  }

  private GgmlType downType(int layer, int layers) {
    return switch (this) {
      case Q2_K -> GgmlType.Q3_K;
      case Q3_K_M -> layer < layers / 16 ? GgmlType.Q5_K : GgmlType.Q4_K;
      case Q3_K_L -> GgmlType.Q5_K;
      case Q4_K_S -> layer < layers / 8 ? GgmlType.Q5_K : base;
      case Q4_K_M, Q5_K_M -> moreBits(layer, layers) ? GgmlType.Q6_K : base;
      default -> base;
    };
  }

  private GgmlType outputType() {
    return switch (this) {
      case Q2_K -> GgmlType.Q3_K;
      case Q3_K_M -> GgmlType.Q4_K;
      case Q3_K_L -> GgmlType.Q5_K;
      default -> base;
    };
  }

  /** The first and last eighth of the layers, and every third in between. */
  private static boolean moreBits(int layer, int layers) {
    int eighth = layers / 8;
    return layer < eighth || layer >= 7 * layers / 8 || (layer - eighth) % 3 == 2;
  }
}
