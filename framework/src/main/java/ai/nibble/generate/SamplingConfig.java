package ai.nibble.generate;

import ai.nibble.InvalidInputException;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;

/**
 * How the next token is picked. The steps run in this order, which is transformers': repetition
 * penalty, (presence and frequency penalty, which transformers has not), n-grams, then the
 * temperature, top-k, top-p, min-p and typical-p, each of what the one before left.
 *
 * @param temperature the logits are divided by it; 0 takes the most likely token: greedy decoding
 * @param topK keeps the k most likely tokens, and those equal to the last; 0: all
 * @param topP keeps the fewest most likely tokens whose probabilities reach it (Holtzman et al.
 *     2020); 1: all
 * @param minP drops tokens less likely than this share of the most likely one's probability (Nguyen
 *     et al. 2024); 0: none
 * @param typicalP keeps the tokens whose information is nearest the expected one, up to this mass
 *     (Meister et al. 2022); 1: all
 * @param repetitionPenalty of every token in prompt and answer: its logit is divided by this, or
 *     multiplied where negative (Keskar et al. 2019); 1: none
 * @param presencePenalty taken off the logit of every token that the answer has; 0: none
 * @param frequencyPenalty taken off for each time the answer has it; 0: none
 * @param noRepeatNgramSize no n-gram comes twice in prompt and answer; 0: any may
 * @param seed with the sequence and the position it decides what is drawn
 */
public record SamplingConfig(
    double temperature,
    int topK,
    double topP,
    double minP,
    double typicalP,
    double repetitionPenalty,
    double presencePenalty,
    double frequencyPenalty,
    int noRepeatNgramSize,
    long seed) {

  /** The most likely token each time. */
  public static final SamplingConfig GREEDY = of(Map.of(SamplingKey.TEMPERATURE, 0.0), 0);

  /**
   * @throws InvalidInputException with one line for each value that is out of range
   */
  public SamplingConfig {
    List<String> problems = new ArrayList<>();
    check(SamplingKey.TEMPERATURE, temperature, problems);
    check(SamplingKey.TOP_K, topK, problems);
    check(SamplingKey.TOP_P, topP, problems);
    check(SamplingKey.MIN_P, minP, problems);
    check(SamplingKey.TYPICAL_P, typicalP, problems);
    check(SamplingKey.REPETITION_PENALTY, repetitionPenalty, problems);
    check(SamplingKey.PRESENCE_PENALTY, presencePenalty, problems);
    check(SamplingKey.FREQUENCY_PENALTY, frequencyPenalty, problems);
    check(SamplingKey.NO_REPEAT_NGRAM_SIZE, noRepeatNgramSize, problems);
    if (!problems.isEmpty()) {
      throw new InvalidInputException(problems);
    }
  }

  private static void check(SamplingKey key, double value, List<String> problems) {
    key.problem(value).ifPresent(problem -> problems.add("'" + key.key() + "' " + problem));
  }

  /**
   * From the settings that are given, with defaults for the others.
   *
   * @throws InvalidInputException with one line for each value that is out of range
   */
  public static SamplingConfig of(Map<SamplingKey, Double> given, long seed) {
    Map<SamplingKey, Double> all = new EnumMap<>(SamplingKey.class);
    for (SamplingKey key : SamplingKey.values()) {
      all.put(key, given.getOrDefault(key, key.defaultValue()));
    }
    return new SamplingConfig(
        all.get(SamplingKey.TEMPERATURE),
        whole(all, SamplingKey.TOP_K),
        all.get(SamplingKey.TOP_P),
        all.get(SamplingKey.MIN_P),
        all.get(SamplingKey.TYPICAL_P),
        all.get(SamplingKey.REPETITION_PENALTY),
        all.get(SamplingKey.PRESENCE_PENALTY),
        all.get(SamplingKey.FREQUENCY_PENALTY),
        whole(all, SamplingKey.NO_REPEAT_NGRAM_SIZE),
        seed);
  }

  private static int whole(Map<SamplingKey, Double> all, SamplingKey key) {
    List<String> problems = new ArrayList<>();
    check(key, all.get(key), problems);
    if (!problems.isEmpty()) {
      throw new InvalidInputException(problems); // 1.5 must not become 1
    }
    return all.get(key).intValue();
  }

  /** Whether tokens are drawn at random. */
  public boolean draws() {
    return temperature > 0;
  }

  /** Whether logits are changed before a token is picked or drawn. */
  boolean hasPenalties() {
    return repetitionPenalty != 1
        || presencePenalty != 0
        || frequencyPenalty != 0
        || noRepeatNgramSize > 0;
  }

  /** A sampler that does this. */
  public Sampler sampler() {
    return draws() || hasPenalties() ? new ConfiguredSampler(this) : Sampler.GREEDY;
  }
}
