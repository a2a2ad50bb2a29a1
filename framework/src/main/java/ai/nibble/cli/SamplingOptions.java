package ai.nibble.cli;

import ai.nibble.InvalidInputException;
import ai.nibble.generate.SamplingKey;
import ai.nibble.generate.StopStrings;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalInt;
import java.util.OptionalLong;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/** The options that say how an answer is written. */
final class SamplingOptions {
  @Spec(Spec.Target.MIXEE)
  private CommandSpec spec;

  @Option(
      names = "--max-new-tokens",
      paramLabel = "N",
      description = "Most tokens of an answer (default: 256).")
  private Integer maxNewTokens;

  @Option(
      names = "--greedy",
      description = "Takes the most likely token each time, whatever generation_config.json says.")
  private boolean greedy;

  @Option(
      names = "--temperature",
      paramLabel = "T",
      description =
          "Divides the logits: below 1 the likely tokens become likelier; 0: greedy (default: 1).")
  private Double temperature;

  @Option(
      names = "--top-k",
      paramLabel = "K",
      description = "Draws from the K most likely tokens; 0: all (default: 50).")
  private Integer topK;

  @Option(
      names = "--top-p",
      paramLabel = "P",
      description = "Draws from the most likely tokens that together have probability P.")
  private Double topP;

  @Option(
      names = "--min-p",
      paramLabel = "P",
      description = "Drops tokens less likely than P times the most likely one.")
  private Double minP;

  @Option(
      names = "--typical-p",
      paramLabel = "P",
      description = "Draws from the tokens of most typical information, up to probability P.")
  private Double typicalP;

  @Option(
      names = "--repetition-penalty",
      paramLabel = "X",
      description = "Above 1 makes tokens of prompt and answer less likely to come again.")
  private Double repetitionPenalty;

  @Option(
      names = "--presence-penalty",
      paramLabel = "X",
      description = "Is taken off the logits of tokens that the answer has.")
  private Double presencePenalty;

  @Option(
      names = "--frequency-penalty",
      paramLabel = "X",
      description = "Is taken off for each time that the answer has a token.")
  private Double frequencyPenalty;

  @Option(
      names = "--no-repeat-ngram-size",
      paramLabel = "N",
      description = "No N tokens in a row come twice in prompt and answer.")
  private Integer noRepeatNgramSize;

  @Option(
      names = "--seed",
      paramLabel = "N",
      description = "The same seed draws the same answers; without it: a random one, printed.")
  private Long seed;

  @Option(
      names = "--stop",
      paramLabel = "TEXT",
      description = "Ends an answer before this text; may be given again.")
  private List<String> stops = List.of();

  /**
   * What was asked for.
   *
   * @throws InvalidInputException with one line for each value that is out of range
   */
  SamplingRequest request() {
    if (maxNewTokens != null && maxNewTokens < 1) {
      throw usage("--max-new-tokens is " + maxNewTokens + ", expected at least 1");
    }
    Map<SamplingKey, Double> given = given();
    List<String> problems = new ArrayList<>();
    given.forEach(
        (key, value) ->
            key.problem(value).ifPresent(p -> problems.add(SamplingRequest.option(key) + " " + p)));
    if (stops.contains("")) {
      problems.add("--stop is '', expected at least one character");
    }
    if (!problems.isEmpty()) {
      throw new InvalidInputException(problems);
    }
    for (SamplingKey key : given.keySet()) {
      if (greedy && key.isForDrawing()) {
        throw usage(
            "--greedy draws nothing, and so has no use for "
                + SamplingRequest.option(key)
                + ": give one");
      }
    }
    return new SamplingRequest(
        given,
        greedy,
        maxNewTokens == null ? OptionalInt.empty() : OptionalInt.of(maxNewTokens),
        seed == null ? OptionalLong.empty() : OptionalLong.of(seed),
        new StopStrings(stops));
  }

  private Map<SamplingKey, Double> given() {
    Map<SamplingKey, Double> given = new EnumMap<>(SamplingKey.class);
    put(given, SamplingKey.TEMPERATURE, temperature);
    put(given, SamplingKey.TOP_K, topK);
    put(given, SamplingKey.TOP_P, topP);
    put(given, SamplingKey.MIN_P, minP);
    put(given, SamplingKey.TYPICAL_P, typicalP);
    put(given, SamplingKey.REPETITION_PENALTY, repetitionPenalty);
    put(given, SamplingKey.PRESENCE_PENALTY, presencePenalty);
    put(given, SamplingKey.FREQUENCY_PENALTY, frequencyPenalty);
    put(given, SamplingKey.NO_REPEAT_NGRAM_SIZE, noRepeatNgramSize);
    return given;
  }

  private static void put(Map<SamplingKey, Double> given, SamplingKey key, Number value) {
    if (value != null) {
      given.put(key, value.doubleValue());
    }
  }

  private ParameterException usage(String line) {
    return new ParameterException(spec.commandLine(), line);
  }
}
