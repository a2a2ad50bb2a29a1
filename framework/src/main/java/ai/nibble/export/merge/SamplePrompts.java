package ai.nibble.export.merge;

import ai.nibble.FileProblem;
import ai.nibble.InvalidInputException;
import ai.nibble.data.Tokenizer;
import ai.nibble.model.ModelConfig;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.SplittableRandom;
import java.util.function.Consumer;

/** The texts on which a merge is proven. */
final class SamplePrompts {
  private static final List<String> BUILT_IN =
      List.of(
          "The capital of France is Paris, which lies on the river",
          "Question: A farmer has 17 sheep and buys 25 more. How many has he now?\nAnswer:",
          "def fibonacci(n):\n    \"\"\"Returns the n-th number of the sequence.\"\"\"\n",
          "Dear Sir or Madam,\nI am writing to you because the order of 3 May has not",
          "水は摂氏百度で沸騰する。Wasser siedet bei hundert Grad.");

  /** Tokens of a prompt that are computed. */
  private static final int MAX_TOKENS = 256;

  /** Logits of one model that are in memory: 64 MiB. */
  private static final int MAX_LOGITS = 1 << 24;

  private SamplePrompts() {}

  /**
   * Token ids of the prompts: those of a file, one a line, or built-in ones; ids at random where a
   * base has no tokenizer.
   *
   * @param directory of the base
   * @param notices takes a line for what is left out
   * @throws InvalidInputException if the file cannot be read or holds no prompt
   */
  static List<int[]> of(
      Path directory, ModelConfig config, Optional<Path> file, Consumer<String> notices) {
    List<int[]> prompts = new ArrayList<>();
    if (file.isEmpty() && !Files.exists(directory.resolve("tokenizer.json"))) {
      notices.accept(directory + " has no tokenizer.json: proven on random tokens");
      prompts.addAll(random(config));
    } else {
      List<String> texts = file.map(SamplePrompts::lines).orElse(BUILT_IN);
      try (Tokenizer tokenizer = Tokenizer.load(directory)) {
        texts.forEach(text -> prompts.add(tokenizer.encode(text).ids()));
      }
    }
    return bounded(prompts, config, notices);
  }

  private static List<String> lines(Path file) {
    try {
      List<String> lines =
          Files.readAllLines(file).stream().filter(line -> !line.isBlank()).toList();
      if (lines.isEmpty()) {
        throw new InvalidInputException(file + ": no prompts, expected one a line");
      }
      return lines;
    } catch (IOException e) {
      throw new InvalidInputException(
          file + ": cannot be read as lines of UTF-8: " + FileProblem.reason(e), e);
    }
  }

  private static List<int[]> random(ModelConfig config) {
    SplittableRandom random = new SplittableRandom(42);
    List<int[]> prompts = new ArrayList<>();
    for (int i = 0; i < 4; i++) {
      prompts.add(random.ints(24, 0, config.vocabSize()).toArray());
    }
    return prompts;
  }

  private static List<int[]> bounded(
      List<int[]> prompts, ModelConfig config, Consumer<String> notices) {
    int positions = Math.max(1, MAX_LOGITS / config.vocabSize());
    int most = Math.min(MAX_TOKENS, config.maxPositionEmbeddings());
    List<int[]> kept = new ArrayList<>();
    long left = 0;
    for (int[] prompt : prompts) {
      int n = Math.min(Math.min(prompt.length, most), positions);
      left += prompt.length - n;
      positions -= n;
      if (n > 0) {
        config.requireToken(Arrays.stream(prompt).max().orElse(0));
        kept.add(Arrays.copyOf(prompt, n));
      }
    }
    if (left > 0) {
      notices.accept(left + " tokens of the sample prompts are left out to bound memory");
    }
    if (kept.isEmpty()) {
      throw new InvalidInputException("the sample prompts have no tokens, expected some text");
    }
    return kept;
  }
}
