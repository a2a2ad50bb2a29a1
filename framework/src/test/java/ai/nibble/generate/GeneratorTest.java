package ai.nibble.generate;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.InvalidInputException;
import ai.nibble.model.CausalLm;
import ai.nibble.model.LoadOptions;
import ai.nibble.model.TinyModel;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Tensor;
import java.nio.FloatBuffer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.NoSuchElementException;
import java.util.Random;
import java.util.Set;
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
    tiny.writeConfig(folder);
    tiny.writeSafetensors(folder.resolve("model.safetensors"));
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
        (logits, sequence, position) -> {
          throw new IllegalStateException("no");
        };
    GenerationSettings settings = new GenerationSettings(3, Set.of(), broken);
    assertThrows(IllegalStateException.class, () -> one(new int[] {1}, settings));
  }

  @Test
  void aSamplerIsToldWhichSequenceAndPositionItPicksFor() {
    Sampler counting = (logits, sequence, position) -> (3 * sequence + position) % 11;
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
    assertEquals(1, Sampler.GREEDY.pick(FloatBuffer.wrap(new float[] {0, 2, 2, 1}), 0, 0));
    FloatBuffer broken = FloatBuffer.wrap(new float[] {Float.NaN, Float.NaN});
    assertThrows(IllegalStateException.class, () -> Sampler.GREEDY.pick(broken, 0, 0));
  }
}
