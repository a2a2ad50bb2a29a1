package ai.nibble.model;

import ai.nibble.InvalidInputException;
import ai.nibble.tensor.DType;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.OptionalInt;
import java.util.function.Consumer;

/**
 * The shape and the constants of a decoder, as {@code config.json} states them.
 *
 * <p>Field names, meanings and defaults are those of its {@link Architecture} in transformers 5.23.
 * The record is pure data: nothing in it names code, a path or a repository.
 *
 * @param architecture the family
 * @param vocabSize rows of the embedding
 * @param hiddenSize width of the residual stream, a multiple of {@code numAttentionHeads}
 * @param intermediateSize width of the gated MLP
 * @param numHiddenLayers decoder layers
 * @param numAttentionHeads query heads
 * @param numKeyValueHeads key and value heads, a divisor of {@code numAttentionHeads}
 * @param headDim width of one head, even; heads times this need not be {@code hiddenSize}
 * @param hiddenAct the MLP's activation, {@code silu}
 * @param maxPositionEmbeddings tokens of context
 * @param rmsNormEps added to the mean square before the root
 * @param ropeTheta base of the rotary frequencies
 * @param ropeScaling how they are stretched
 * @param tieWordEmbeddings whether the output head is the embedding
 * @param form how the layers compute where families differ, one entry for each of them
 * @param initializerRange standard deviation that untrained weights are drawn with
 * @param dtype dtype the weights were saved in; float32 where the file names none
 * @param bosTokenId begins a text
 * @param eosTokenIds any of them ends generation; may be empty
 * @param padTokenId fills a batch
 */
public record ModelConfig(
    Architecture architecture,
    int vocabSize,
    int hiddenSize,
    int intermediateSize,
    int numHiddenLayers,
    int numAttentionHeads,
    int numKeyValueHeads,
    int headDim,
    String hiddenAct,
    int maxPositionEmbeddings,
    double rmsNormEps,
    double ropeTheta,
    RopeScaling ropeScaling,
    boolean tieWordEmbeddings,
    DecoderForm form,
    double initializerRange,
    DType dtype,
    OptionalInt bosTokenId,
    List<Integer> eosTokenIds,
    OptionalInt padTokenId) {

  /*
   * Bounds far above every published model, so that no size derived from a hostile file overflows
   * or is allocated before its tensors have been seen.
   */
  private static final int MAX_VOCAB_SIZE = 1 << 24;
  private static final int MAX_HIDDEN_SIZE = 1 << 18;
  private static final int MAX_INTERMEDIATE_SIZE = 1 << 21;
  static final int MAX_LAYERS = 4096;
  private static final int MAX_HEADS = 1 << 14;
  static final int MAX_HEAD_DIM = 1 << 14;

  /**
   * @throws InvalidInputException with one line for each value that no such model can have
   */
  public ModelConfig {
    eosTokenIds = List.copyOf(eosTokenIds);
    List<String> problems = new ArrayList<>();
    range("vocab_size", vocabSize, MAX_VOCAB_SIZE, problems);
    range("hidden_size", hiddenSize, MAX_HIDDEN_SIZE, problems);
    range("intermediate_size", intermediateSize, MAX_INTERMEDIATE_SIZE, problems);
    range("num_hidden_layers", numHiddenLayers, MAX_LAYERS, problems);
    range("num_attention_heads", numAttentionHeads, MAX_HEADS, problems);
    range("num_key_value_heads", numKeyValueHeads, MAX_HEADS, problems);
    range("head_dim", headDim, MAX_HEAD_DIM, problems);
    range("max_position_embeddings", maxPositionEmbeddings, Integer.MAX_VALUE, problems);
    multiple("hidden_size", hiddenSize, "num_attention_heads", numAttentionHeads, problems);
    multiple(
        "num_attention_heads",
        numAttentionHeads,
        "num_key_value_heads",
        numKeyValueHeads,
        problems);
    if (headDim % 2 != 0) {
      problems.add("'head_dim' is " + headDim + ", expected an even number: rotary pairs halves");
    }
    rotary(headDim, form.rotaryShare(), ropeScaling, problems);
    if (!((float) rmsNormEps > 0 && rmsNormEps < 1)) {
      problems.add("'rms_norm_eps' is " + rmsNormEps + ", expected a number between 0 and 1");
    }
    if (!(ropeTheta > 1 && (float) ropeTheta <= Float.MAX_VALUE)) {
      problems.add("'rope_theta' is " + ropeTheta + ", expected a finite number above 1");
    }
    if (numHiddenLayers > 0
        && numHiddenLayers <= MAX_LAYERS
        && form.layers().size() != numHiddenLayers) {
      throw new IllegalArgumentException(
          form.layers().size() + " layers' attention for " + numHiddenLayers + " layers");
    }
    if (!dtype.isFloatingPoint()) {
      problems.add("'dtype' is '" + dtype.torchName() + "', expected a floating-point type");
    }
    bosTokenId.ifPresent(id -> tokenId("bos_token_id", id, vocabSize, problems));
    eosTokenIds.forEach(id -> tokenId("eos_token_id", id, vocabSize, problems));
    padTokenId.ifPresent(id -> tokenId("pad_token_id", id, vocabSize, problems));
    if (!problems.isEmpty()) {
      throw new InvalidInputException(problems);
    }
  }

  /**
   * Reads a {@code config.json}; notices go to this class's log.
   *
   * @throws InvalidInputException with one line for each problem, if the file is missing, is not
   *     JSON, or describes a model that is not supported
   */
  public static ModelConfig read(Path configJson) {
    return read(configJson, org.slf4j.LoggerFactory.getLogger(ModelConfig.class)::warn);
  }

  /**
   * Reads a {@code config.json}.
   *
   * @param notices takes one line for everything that is ignored or chosen in the reader's place
   * @throws InvalidInputException with one line for each problem
   */
  public static ModelConfig read(Path configJson, Consumer<String> notices) {
    return new ModelConfigFile(configJson, notices).read();
  }

  /** Elements of a head that positions rotate, the first of them; even. */
  public int rotaryDim() {
    return rotaryDim(headDim, form.rotaryShare());
  }

  private static int rotaryDim(int headDim, double share) {
    return (int) (headDim * share);
  }

  private static void rotary(
      int headDim, double share, RopeScaling scaling, List<String> problems) {
    int rotated = rotaryDim(headDim, share);
    if (headDim % 2 == 0 && headDim > 0 && (rotated < 2 || rotated > headDim || rotated % 2 != 0)) {
      problems.add(
          "'partial_rotary_factor' is "
              + share
              + ", of which "
              + rotated
              + " elements of a head of "
              + headDim
              + " follow, expected an even number of them");
    } else if (scaling instanceof RopeScaling.LongRope s) {
      factors("short_factor", s.shortFactor().size(), rotated / 2, problems);
      factors("long_factor", s.longFactor().size(), rotated / 2, problems);
    }
  }

  private static void factors(String key, int count, int expected, List<String> problems) {
    if (count != expected) {
      problems.add(
          "'"
              + key
              + "' has "
              + count
              + " numbers, expected "
              + expected
              + ", one for each pair of rotated elements of a head");
    }
  }

  /** The same model with the output head tied to the embedding, or not. */
  public ModelConfig withTieWordEmbeddings(boolean tied) {
    return with(this, tied);
  }

  /** The same model with the vocabulary of another: its size and the tokens that begin and end. */
  ModelConfig withVocabulary(ModelConfig other) {
    return with(other, tieWordEmbeddings);
  }

  private ModelConfig with(ModelConfig vocabulary, boolean tied) {
    return new ModelConfig(
        architecture,
        vocabulary.vocabSize,
        hiddenSize,
        intermediateSize,
        numHiddenLayers,
        numAttentionHeads,
        numKeyValueHeads,
        headDim,
        hiddenAct,
        maxPositionEmbeddings,
        rmsNormEps,
        ropeTheta,
        ropeScaling,
        tied,
        form,
        initializerRange,
        dtype,
        vocabulary.bosTokenId,
        vocabulary.eosTokenIds,
        padTokenId);
  }

  /**
   * One layer as a model of its own, without special tokens.
   *
   * @param layer which
   * @param rows of the embedding
   * @param tied whether the output head is the embedding
   */
  public ModelConfig oneLayer(int layer, int rows, boolean tied) {
    return new ModelConfig(
        architecture,
        rows,
        hiddenSize,
        intermediateSize,
        1,
        numAttentionHeads,
        numKeyValueHeads,
        headDim,
        hiddenAct,
        maxPositionEmbeddings,
        rmsNormEps,
        ropeTheta,
        ropeScaling,
        tied,
        form.layer(layer),
        initializerRange,
        dtype,
        OptionalInt.empty(),
        List.of(),
        OptionalInt.empty());
  }

  /**
   * Checks that the embedding has a row for a token.
   *
   * @throws InvalidInputException if it has none: model and tokenizer do not belong together
   */
  public void requireToken(int id) {
    if (id < 0 || id >= vocabSize) {
      throw new InvalidInputException(
          "the tokenizer gives token id "
              + id
              + ", but 'vocab_size' in the model's config.json is "
              + vocabSize
              + ": use the tokenizer that belongs to the model, or for a model from scratch set"
              + " vocab_size to "
              + (id + 1L));
    }
  }

  /**
   * Checks that the model can go on from a prompt.
   *
   * @param ids at least one
   * @throws InvalidInputException if the prompt leaves no room in the context, or the embedding has
   *     no row for one of its tokens
   */
  public void requirePrompt(int[] ids) {
    if (ids.length >= maxPositionEmbeddings) {
      throw new InvalidInputException(
          "the prompt has "
              + ids.length
              + " tokens, expected fewer than the model's max_position_embeddings, "
              + maxPositionEmbeddings
              + ": shorten it");
    }
    requireToken(Arrays.stream(ids).max().orElse(0));
  }

  private static void range(String key, int value, int max, List<String> problems) {
    if (value < 1 || value > max) {
      problems.add("'" + key + "' is " + value + ", expected an integer from 1 to " + max);
    }
  }

  private static void multiple(
      String key, int value, String divisorKey, int divisor, List<String> problems) {
    if (value > 0 && divisor > 0 && value % divisor != 0) {
      problems.add(
          "'"
              + key
              + "' is "
              + value
              + ", expected a multiple of '"
              + divisorKey
              + "', which is "
              + divisor);
    }
  }

  private static void tokenId(String key, int id, int vocabSize, List<String> problems) {
    if (vocabSize > 0 && (id < 0 || id >= vocabSize)) {
      problems.add(
          "'"
              + key
              + "' is "
              + id
              + ", expected null or an id below 'vocab_size', which is "
              + vocabSize);
    }
  }
}
