package ai.nibble.generate;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.InvalidInputException;
import ai.nibble.lora.AdapterSet;
import ai.nibble.lora.AdapterStore;
import ai.nibble.lora.LoraAdapter;
import ai.nibble.lora.RandomAdapter;
import ai.nibble.model.CausalLm;
import ai.nibble.model.LoadOptions;
import ai.nibble.model.TinyModel;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Tensor;
import java.nio.FloatBuffer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.NoSuchElementException;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Answers of a random model of eleven tokens. */
class GeneratorTest {
  private static final int CONTEXT = 40;

  @TempDir Path folder;
  private CausalLm model;
  private long liveBefore;

  @BeforeEach
  void load() {
    liveBefore = Tensor.live();
    TinyModel tiny = new TinyModel(5, false);
    tiny.fields.put("max_position_embeddings", "" + CONTEXT);
    tiny.writeTo(folder);
    model = CausalLm.load(folder, LoadOptions.unquantized(DType.FLOAT32));
  }

  @AfterEach
  void everyTensorIsClosed() {
    model.close();
    assertEquals(liveBefore, Tensor.live());
  }

  private static GenerationSettings greedy(int maxNewTokens, Integer... stop) {
    return GenerationSettings.greedy(maxNewTokens, Set.of(stop));
  }

  private static List<int[]> prompts(int count) {
    Random random = new Random(2);
    List<int[]> prompts = new ArrayList<>();
    for (int i = 0; i < count; i++) {
      prompts.add(random.ints(1 + random.nextInt(9), 0, 11).toArray());
    }
    return prompts;
  }

  private Completion one(int[] prompt, GenerationSettings settings) {
    try (Generator generator = new Generator(model)) {
      return generator.complete(List.of(prompt), settings).get(0);
    }
  }

  @Test
  void aBatchOfMorePromptsThanFitGivesEachItsOwnAnswer() {
    // a stop token makes the answers end at different times
    GenerationSettings settings = greedy(12, 3);
    List<int[]> prompts = prompts(11);
    List<Completion> batch;
    try (Generator generator = new Generator(model, Long.MAX_VALUE, 4)) {
      batch = generator.complete(prompts, settings);
    }
    assertEquals(11, batch.size());
    for (int i = 0; i < prompts.size(); i++) {
      Completion single = one(prompts.get(i), settings);
      assertArrayEquals(single.tokens(), batch.get(i).tokens(), "prompt " + i);
      assertEquals(single.finishReason(), batch.get(i).finishReason());
    }
    assertTrue(
        batch.stream().map(c -> c.tokens().length).distinct().count() > 1, "all of one length");
  }

  @Test
  void aStreamGivesTheTokensOfTheAnswer() {
    int[] prompt = {1, 2, 3};
    int[] expected = one(prompt, greedy(10)).tokens();
    try (Generator generator = new Generator(model);
        TokenStream stream = generator.stream(prompt, greedy(10))) {
      List<Integer> tokens = new ArrayList<>();
      while (stream.hasNext()) {
        assertTrue(stream.hasNext(), "asking again computes nothing");
        tokens.add(stream.nextInt());
      }
      assertArrayEquals(expected, tokens.stream().mapToInt(i -> i).toArray());
      assertEquals(FinishReason.LENGTH, stream.completion().finishReason());
      assertThrows(NoSuchElementException.class, stream::nextInt);
    }
  }

  @Test
  void aStopTokenEndsTheAnswerAndIsNotPartOfIt() {
    int[] prompt = {1, 2, 3};
    int[] all = one(prompt, greedy(10)).tokens();
    int stop = all[4];
    int first = 0;
    while (all[first] != stop) {
      first++;
    }
    Completion stopped = one(prompt, greedy(10, stop));
    assertArrayEquals(Arrays.copyOf(all, first), stopped.tokens());
    assertEquals(FinishReason.STOP, stopped.finishReason());
    Completion none = one(prompt, greedy(10, all[0]));
    assertEquals(0, none.tokens().length);
  }

  @Test
  void theContextEndsAnAnswerAndAPromptThatFillsItIsRefused() {
    Completion full = one(new int[] {1, 2, 3}, greedy(1000));
    assertEquals(CONTEXT - 3, full.tokens().length);
    assertEquals(FinishReason.CONTEXT, full.finishReason());
    assertEquals(1, one(new int[CONTEXT - 1], greedy(5)).tokens().length);
    InvalidInputException e =
        assertThrows(InvalidInputException.class, () -> one(new int[CONTEXT], greedy(5)));
    assertTrue(e.getMessage().contains("the prompt has 40 tokens"), e.getMessage());
  }

  @Test
  void aCancelledStreamEndsAndGivesItsMemoryBack() {
    try (Generator generator = new Generator(model)) {
      // the model keeps the buffers that its first token makes
      generator.complete(List.of(new int[] {1}), greedy(1));
      long open = Tensor.live();
      TokenStream stream = generator.stream(new int[] {1}, greedy(10));
      stream.nextInt();
      stream.cancel();
      assertFalse(stream.hasNext());
      assertEquals(FinishReason.CANCELLED, stream.completion().finishReason());
      assertEquals(1, stream.completion().tokens().length);
      assertEquals(open, Tensor.live());
      generator.stream(new int[] {1}, greedy(10)).close();
      assertEquals(open, Tensor.live());
    }
  }

  @Test
  void whatASamplerThrowsLeavesNothingOpen() {
    Sampler broken =
        (logits, history) -> {
          throw new IllegalStateException("no");
        };
    GenerationSettings settings = new GenerationSettings(3, Set.of(), broken);
    assertThrows(IllegalStateException.class, () -> one(new int[] {1}, settings));
  }

  @Test
  void aSamplerIsToldWhichSequenceAndPositionItPicksFor() {
    Sampler counting = (logits, history) -> (3 * history.sequence() + history.position()) % 11;
    try (Generator generator = new Generator(model, 0, 2)) {
      List<Completion> all =
          generator.complete(prompts(3), new GenerationSettings(3, Set.of(), counting));
      for (int s = 0; s < 3; s++) {
        assertArrayEquals(new int[] {3 * s, 3 * s + 1, 3 * s + 2}, all.get(s).tokens());
      }
    }
  }

  @Test
  void greedyTakesTheLargestAndOfEqualsTheFirstAndNoNumberIsAnError() {
    TokenHistory none = new TokenHistory(0, new int[] {1});
    assertEquals(1, Sampler.GREEDY.pick(FloatBuffer.wrap(new float[] {0, 2, 2, 1}), none));
    assertEquals(0, Sampler.GREEDY.pick(FloatBuffer.wrap(new float[] {-3, -4, -3}), none));
    for (int at = 0; at < 4; at++) { // wherever, also where smaller and larger ones are around it
      float[] broken = {1, -1, 3, 2};
      broken[at] = Float.NaN;
      InvalidInputException e =
          assertThrows(
              InvalidInputException.class,
              () -> Sampler.GREEDY.pick(FloatBuffer.wrap(broken), none));
      assertEquals(
          "the largest logit is NaN, expected a finite number: the model's weights or its adapter are"
              + " damaged",
          e.getMessage());
    }
    for (float bad : new float[] {Float.POSITIVE_INFINITY, Float.NEGATIVE_INFINITY}) {
      FloatBuffer broken = FloatBuffer.wrap(new float[] {bad, Float.NEGATIVE_INFINITY});
      assertThrows(InvalidInputException.class, () -> Sampler.GREEDY.pick(broken, none));
    }
  }

  private static GenerationSettings sampled(long seed, int maxNewTokens) {
    SamplingConfig config =
        SamplingConfig.of(
            Map.of(SamplingKey.TOP_P, 0.95, SamplingKey.REPETITION_PENALTY, 1.2), seed);
    return new GenerationSettings(maxNewTokens, Set.of(3), config.sampler());
  }

  @Test
  void whatIsDrawnDependsOnSeedAndPromptsIndexAndOnNothingElseInTheBatch() {
    List<int[]> prompts = new ArrayList<>(prompts(11));
    prompts.add(prompts.get(0));
    List<Completion> few;
    try (Generator generator = new Generator(model, Long.MAX_VALUE, 1)) {
      few = generator.complete(prompts, sampled(7, 12));
    }
    List<Completion> many;
    List<Completion> otherSeed;
    int[] heard = new int[prompts.size()];
    try (Generator generator = new Generator(model, Long.MAX_VALUE, 5)) {
      many = generator.complete(prompts, sampled(7, 12), (completion, index) -> heard[index]++);
      otherSeed = generator.complete(prompts, sampled(8, 12));
    }
    int others = 0;
    for (int i = 0; i < prompts.size(); i++) {
      assertArrayEquals(few.get(i).tokens(), many.get(i).tokens(), "prompt " + i);
      assertEquals(1, heard[i], "each answer is told once");
      others += Arrays.equals(few.get(i).tokens(), otherSeed.get(i).tokens()) ? 0 : 1;
    }
    assertTrue(others >= 9, others + " answers differ with another seed");
    assertFalse(
        Arrays.equals(many.get(0).tokens(), many.get(11).tokens()),
        "the same prompt twice is answered twice");
    assertArrayEquals(few.get(0).tokens(), one(prompts.get(0), sampled(7, 12)).tokens());
  }

  @Test
  void aLongPromptIsComputedInPartsAndGivesTheSameAnswer() {
    List<int[]> prompts = prompts(9);
    prompts.add(new Random(4).ints(25, 0, 11).toArray());
    List<Completion> whole;
    List<Completion> parts;
    try (Generator generator = new Generator(model, Long.MAX_VALUE, 4)) {
      whole = generator.complete(prompts, greedy(12, 3));
    }
    try (Generator generator = new Generator(model, Long.MAX_VALUE, 4, 3)) {
      parts = generator.complete(prompts, greedy(12, 3));
    }
    for (int i = 0; i < prompts.size(); i++) {
      assertArrayEquals(whole.get(i).tokens(), parts.get(i).tokens(), "prompt " + i);
    }
  }

  @Test
  void aStopRuleEndsTheAnswerWithTheTokenByWhichItHolds() {
    int[] prompt = {1, 2, 3};
    int[] all = one(prompt, greedy(10)).tokens();
    StopRule third =
        () -> {
          int[] seen = {0};
          return token -> ++seen[0] == 3;
        };
    GenerationSettings settings = new GenerationSettings(10, Set.of(), Sampler.GREEDY, third);
    try (Generator generator = new Generator(model)) {
      // each answer has a rule of its own
      for (Completion completion : generator.complete(List.of(prompt, prompt), settings)) {
        assertArrayEquals(Arrays.copyOf(all, 3), completion.tokens());
        assertEquals(FinishReason.STOP, completion.finishReason());
      }
    }
  }

  @Test
  void anAnswerIsCancelledFromAnotherThread() throws InterruptedException {
    CountDownLatch cancelled = new CountDownLatch(1);
    AtomicReference<TokenStream> shared = new AtomicReference<>();
    Sampler waiting =
        (logits, history) -> {
          if (history.position() == 2) {
            new Thread(
                    () -> {
                      shared.get().cancel();
                      cancelled.countDown();
                    })
                .start();
            try {
              assertTrue(cancelled.await(20, TimeUnit.SECONDS));
            } catch (InterruptedException e) {
              throw new AssertionError(e);
            }
          }
          return 1;
        };
    GenerationSettings settings = new GenerationSettings(20, Set.of(), waiting);
    try (Generator generator = new Generator(model);
        TokenStream stream = generator.stream(new int[] {1}, settings)) {
      shared.set(stream);
      int tokens = 0;
      while (stream.hasNext()) {
        stream.nextInt();
        tokens++;
      }
      assertEquals(3, tokens, "the token that was being computed is the last");
      assertEquals(FinishReason.CANCELLED, stream.completion().finishReason());
    }
  }

  @Test
  void adaptersAreSwitchedBetweenAnswersAndGiveWhatTheyGiveAlone() {
    Path a = RandomAdapter.save(model, 2, 1, folder.resolve("a"));
    Path b = RandomAdapter.save(model, 3, 2, folder.resolve("b"));
    List<int[]> prompts = prompts(4);
    List<Completion> base;
    try (Generator generator = new Generator(model)) {
      base = generator.complete(prompts, greedy(9));
    }
    Map<String, List<Completion>> alone = new LinkedHashMap<>();
    for (Path path : List.of(a, b)) {
      try (LoraAdapter adapter = AdapterStore.load(model, path);
          Generator generator = new Generator(model)) {
        assertEquals(14, adapter.modules().size());
        alone.put(path.getFileName().toString(), generator.complete(prompts, greedy(9)));
      }
    }
    alone.put(AdapterSet.OFF, base);
    try (AdapterSet adapters = new AdapterSet(model)) {
      adapters.load("a", a);
      adapters.load("b", b);
      try (Generator generator = new Generator(model)) {
        for (String name : List.of("off", "a", "b", "a", "off", "b", "b")) {
          generator.select(adapters, name);
          List<Completion> all = generator.complete(prompts, greedy(9));
          for (int i = 0; i < prompts.size(); i++) {
            assertArrayEquals(alone.get(name).get(i).tokens(), all.get(i).tokens(), name);
          }
        }
        try (TokenStream stream = generator.stream(prompts.get(0), greedy(9))) {
          stream.nextInt();
          generator.select(adapters, "a");
          assertThrows(IllegalStateException.class, stream::hasNext);
        }
        assertThrows(InvalidInputException.class, () -> generator.select(adapters, "c"));
      }
    }
  }
}
