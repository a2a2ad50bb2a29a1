package ai.nibble.export.gguf;

import ai.nibble.model.WeightSource;
import java.util.Arrays;
import java.util.Locale;

/** How large a model is, as people say it and {@code general.size_label} wants it: 135M, 1.1B. */
final class SizeLabel {
  private SizeLabel() {}

  /** Of all weights; an output head that is the embedding counts once. */
  static String of(WeightSource weights) {
    return of(
        weights.names().stream()
            .mapToLong(name -> Arrays.stream(weights.shape(name)).reduce(1, (a, b) -> a * b))
            .sum());
  }

  /** Two digits at least. Source: {@code model_weight_count_rounded_notation} of gguf-py. */
  static String of(long parameters) {
    double scaled = parameters / 1e3;
    int unit = 0;
    while (scaled > 1e3 && unit < 3) {
      scaled /= 1e3;
      unit++;
    }
    int places = Math.rint(scaled) == 0 ? 2 : Math.rint(scaled) < 10 ? 1 : 0;
    return String.format(Locale.ROOT, "%." + places + "f", scaled) + "KMBT".charAt(unit);
  }
}
