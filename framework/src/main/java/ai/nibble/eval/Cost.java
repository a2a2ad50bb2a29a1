package ai.nibble.eval;

import ai.nibble.data.Tokenizer;
import ai.nibble.generate.GenerationSettings;
import ai.nibble.generate.Generator;
import ai.nibble.generate.TokenStream;
import ai.nibble.train.log.ProcessMemory;
import java.util.Set;

/**
 * What a model takes to run.
 *
 * @param weightBytes of the weights as they are held
 * @param loadSeconds to read and quantise them
 * @param scoringPeakBytes most that was ever resident in the process, up to where all items were
 *     scored: Java's heap, libtorch and weights alike
 * @param peakBytes the same after decoding
 * @param tokensPerSecond of greedy decoding, one sequence, without the prompt
 */
public record Cost(
    long weightBytes,
    double loadSeconds,
    long scoringPeakBytes,
    long peakBytes,
    double tokensPerSecond) {
  private static final String PROMPT = "In 1969, the first humans";
  private static final int WARM_UP_TOKENS = 8;
  private static final int TOKENS = 128;

  /** Measures a model that has scored items in this process, which holds no other model. */
  static Cost of(Subject subject) {
    long scoring = ProcessMemory.peakBytes();
    double speed = tokensPerSecond(subject);
    return new Cost(
        subject.model().weightBytes(),
        subject.loadSeconds(),
        scoring,
        ProcessMemory.peakBytes(),
        speed);
  }

  private static double tokensPerSecond(Subject subject) {
    Tokenizer tokenizer = subject.text().tokenizer();
    int[] prompt = tokenizer.encode(PROMPT).ids();
    int room = subject.text().config().maxPositionEmbeddings() - prompt.length;
    int warmUp = Math.min(WARM_UP_TOKENS, room - 1);
    int tokens = Math.min(TOKENS, room - warmUp);
    GenerationSettings settings = GenerationSettings.greedy(warmUp + tokens, Set.of());
    try (Generator generator = new Generator(subject.model());
        TokenStream stream = generator.stream(prompt, settings)) {
      for (int t = 0; t < warmUp; t++) {
        stream.nextInt();
      }
      long start = System.nanoTime();
      for (int t = 0; t < tokens; t++) {
        stream.nextInt();
      }
      return tokens / ((System.nanoTime() - start) / 1e9);
    }
  }
}
