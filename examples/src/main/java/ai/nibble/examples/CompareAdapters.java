package ai.nibble.examples;

import ai.nibble.data.ChatTemplate;
import ai.nibble.data.PromptEncoder;
import ai.nibble.data.Tokenizer;
import ai.nibble.generate.AnswerStream;
import ai.nibble.generate.GenerationSettings;
import ai.nibble.generate.Generator;
import ai.nibble.generate.SamplingConfig;
import ai.nibble.generate.SamplingKey;
import ai.nibble.generate.StopStrings;
import ai.nibble.generate.StopTokens;
import ai.nibble.lora.AdapterSet;
import ai.nibble.model.CausalLm;
import ai.nibble.model.LoadOptions;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;

/** Several adapters on one base in memory answer the same question, piece by piece. */
public final class CompareAdapters {
  private CompareAdapters() {}

  /**
   * Asks the base alone and then each adapter.
   *
   * @param base a Hugging Face directory
   * @param adapters PEFT directories by name
   * @param pieces hears the answers as they are written
   */
  public static void ask(
      Path base, Map<String, Path> adapters, String question, Consumer<String> pieces) {
    try (Tokenizer tokenizer = Tokenizer.load(base);
        CausalLm model = CausalLm.load(base, LoadOptions.nf4());
        AdapterSet set = new AdapterSet(model)) {
      adapters.forEach(set::load);
      PromptEncoder encoder = new PromptEncoder(tokenizer, ChatTemplate.load(base, Map.of()));
      int[] prompt =
          encoder.encode(List.of(Map.of("role", "user", "content", question)), List.of());
      StopStrings stops = new StopStrings(List.of("\n\n"));
      SamplingConfig sampling = SamplingConfig.of(Map.of(SamplingKey.TEMPERATURE, 0.7), 42);
      GenerationSettings settings =
          new GenerationSettings(
              64,
              StopTokens.of(base, model.config(), tokenizer, encoder),
              sampling.sampler(),
              stops.rule(tokenizer));
      try (Generator generator = new Generator(model)) {
        pieces.accept("base:");
        answer(generator, prompt, settings, tokenizer, stops, pieces);
        for (String name : set.names()) {
          generator.select(set, name);
          pieces.accept(name + ":");
          answer(generator, prompt, settings, tokenizer, stops, pieces);
        }
      }
    }
  }

  private static void answer(
      Generator generator,
      int[] prompt,
      GenerationSettings settings,
      Tokenizer tokenizer,
      StopStrings stops,
      Consumer<String> pieces) {
    // another thread may end the answer by its cancel()
    try (AnswerStream answer =
        new AnswerStream(generator.stream(prompt, settings), tokenizer, stops)) {
      answer.forEachRemaining(pieces);
    }
  }
}
