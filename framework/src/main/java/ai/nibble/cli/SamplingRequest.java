package ai.nibble.cli;

import ai.nibble.InvalidInputException;
import ai.nibble.generate.GenerationSettings;
import ai.nibble.generate.SamplingConfig;
import ai.nibble.generate.SamplingKey;
import ai.nibble.generate.StopStrings;
import ai.nibble.model.GenerationConfig;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.OptionalInt;
import java.util.OptionalLong;
import java.util.Set;
import java.util.concurrent.ThreadLocalRandom;

/**
 * How answers are to be written, as far as options say it; the model's {@code
 * generation_config.json} says the rest, and then the defaults.
 *
 * @param given settings in range
 * @param greedy whether to draw nothing, whatever the model's file says
 */
record SamplingRequest(
    Map<SamplingKey, Double> given,
    boolean greedy,
    OptionalInt maxNewTokens,
    OptionalLong seed,
    StopStrings stops) {
  SamplingRequest {
    given = Map.copyOf(given);
  }

  /** The option of a setting. */
  static String option(SamplingKey key) {
    return "--" + key.key().replace('_', '-');
  }

  /**
   * What options, the model's file and defaults say together.
   *
   * @param directory of the file, for messages
   * @throws InvalidInputException with one line for each value of the file that is out of range
   */
  Decoding resolve(GenerationConfig file, Path directory) {
    boolean draws = draws(file);
    Map<SamplingKey, Double> values = new EnumMap<>(SamplingKey.class);
    List<String> said = new ArrayList<>();
    List<String> problems = new ArrayList<>();
    for (SamplingKey key : SamplingKey.values()) {
      Double fromFile = file.sampling().get(key.key());
      boolean counts = draws || !key.isForDrawing();
      if (given.containsKey(key)) {
        values.put(key, given.get(key));
        say(said, counts, key, given.get(key), option(key));
      } else if (counts && fromFile != null) {
        values.put(key, fromFile);
        say(said, true, key, fromFile, GenerationConfig.NAME);
        key.problem(fromFile)
            .ifPresent(
                problem ->
                    problems.add(
                        directory.resolve(GenerationConfig.NAME)
                            + ": '"
                            + key.key()
                            + "' "
                            + problem));
      } else if (draws && key.ordinal() <= SamplingKey.TOP_K.ordinal()) {
        say(said, true, key, key.defaultValue(), "default");
      }
    }
    if (!problems.isEmpty()) {
      throw new InvalidInputException(problems);
    }
    if (!draws) {
      values.put(SamplingKey.TEMPERATURE, 0.0);
    }
    long drawnSeed = seed.orElseGet(() -> ThreadLocalRandom.current().nextInt(1 << 30));
    if (draws) {
      said.add("seed " + drawnSeed + (seed.isPresent() ? " (--seed)" : " (random)"));
    }
    int most = most(file, said);
    return new Decoding(
        SamplingConfig.of(values, drawnSeed),
        most,
        stops(file, said),
        (draws ? "sampling: " : "greedy decoding: ") + String.join(", ", said));
  }

  private static void say(
      List<String> said, boolean counts, SamplingKey key, double value, String origin) {
    if (counts) {
      said.add(key.key() + " " + key.shown(value) + " (" + origin + ")");
    }
  }

  /** A setting that only drawing has use for asks for it. */
  private boolean draws(GenerationConfig file) {
    if (greedy) {
      return false;
    }
    if (given.containsKey(SamplingKey.TEMPERATURE)) {
      return given.get(SamplingKey.TEMPERATURE) > 0;
    }
    boolean asked = given.keySet().stream().anyMatch(SamplingKey::isForDrawing);
    double fromFile = file.sampling().getOrDefault(SamplingKey.TEMPERATURE.key(), 1.0);
    return (asked || file.doSample().orElse(false)) && fromFile != 0;
  }

  private int most(GenerationConfig file, List<String> said) {
    boolean isGiven = maxNewTokens.isPresent();
    OptionalInt chosen = isGiven ? maxNewTokens : file.maxNewTokens();
    String origin =
        isGiven ? "--max-new-tokens" : chosen.isPresent() ? GenerationConfig.NAME : "default";
    int most = chosen.orElse(GenerationSettings.MAX_NEW_TOKENS);
    said.add("max_new_tokens " + most + " (" + origin + ")");
    return most;
  }

  private StopStrings stops(GenerationConfig file, List<String> said) {
    Set<String> all = new LinkedHashSet<>(stops.strings());
    all.addAll(file.stopStrings());
    if (!file.stopStrings().isEmpty()) {
      said.add(file.stopStrings().size() + " stop strings (" + GenerationConfig.NAME + ")");
    }
    return new StopStrings(List.copyOf(all));
  }
}
