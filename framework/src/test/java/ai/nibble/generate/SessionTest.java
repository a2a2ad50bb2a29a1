package ai.nibble.generate;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.InvalidInputException;
import ai.nibble.lora.AdapterSet;
import ai.nibble.lora.RandomAdapter;
import ai.nibble.model.CausalLm;
import ai.nibble.model.LoadOptions;
import ai.nibble.model.TinyModel;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Tensor;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Going on from what is cached gives what beginning anew gives. */
class SessionTest {
  private static final int CONTEXT = 120;

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

  private static GenerationSettings greedy() {
    return GenerationSettings.greedy(8, Set.of());
  }

  private static int[] drain(TokenStream stream) {
    try (stream) {
      while (stream.hasNext()) {
        stream.nextInt();
      }
      return stream.completion().tokens();
    }
  }

  private static int[] joined(int[]... parts) {
    return Arrays.stream(parts).flatMapToInt(Arrays::stream).toArray();
  }

  @Test
  void aConversationThatGrowsIsAnsweredAsIfAnewAndComputesOnlyWhatIsNew() {
    Random random = new Random(1);
    try (Generator generator = new Generator(model);
        Session session = new Session(generator)) {
      int[] conversation = {1, 4, 2};
      for (int turn = 0; turn < 6; turn++) {
        int[] fresh = drain(generator.stream(conversation, greedy()));
        int[] answer = drain(session.stream(conversation, greedy()));
        assertArrayEquals(fresh, answer, "turn " + turn);
        // the last token of an answer was never computed, as nothing came after it
        assertEquals(turn == 0 ? 0 : conversation.length - 5, session.reused());
        conversation = joined(conversation, answer, random.ints(4, 0, 11).toArray());
      }
    }
  }

  @Test
  void whereThePromptDiffersTheCacheEnds() {
    try (Generator generator = new Generator(model);
        Session session = new Session(generator)) {
      int[] first = {1, 2, 3, 4, 5, 6};
      drain(session.stream(first, greedy()));
      int[] other = {1, 2, 3, 9, 5, 6, 7};
      int[] fresh = drain(generator.stream(other, greedy()));
      assertArrayEquals(fresh, drain(session.stream(other, greedy())));
      assertEquals(3, session.reused());
      // the same again, and its beginning: one token is always left to compute
      assertArrayEquals(fresh, drain(session.stream(other, greedy())));
      assertEquals(6, session.reused());
      int[] begin = {1, 2, 3};
      assertArrayEquals(
          drain(generator.stream(begin, greedy())), drain(session.stream(begin, greedy())));
      assertEquals(2, session.reused());
      session.clear();
      assertArrayEquals(fresh, drain(session.stream(other, greedy())));
      assertEquals(0, session.reused());
    }
  }

  @Test
  void anAnswerThatIsCutShortLeavesWhatWasComputed() {
    try (Generator generator = new Generator(model);
        Session session = new Session(generator)) {
      TokenStream stream = session.stream(new int[] {1, 2, 3}, greedy());
      int a = stream.nextInt();
      int b = stream.nextInt();
      int[] next = {1, 2, 3, a, b, 7};
      // the stream before is cancelled by the one that follows
      assertArrayEquals(
          drain(generator.stream(next, greedy())), drain(session.stream(next, greedy())));
      assertEquals(4, session.reused());
      assertFalse(stream.hasNext());
      assertEquals(FinishReason.CANCELLED, stream.completion().finishReason());
    }
  }

  @Test
  void anotherAdaptersKeysAndValuesAreNotUsed() {
    Path path = RandomAdapter.save(model, 2, 1, folder.resolve("a"));
    int[] prompt = {1, 2, 3, 4};
    try (AdapterSet adapters = new AdapterSet(model)) {
      adapters.load("a", path);
      try (Generator generator = new Generator(model);
          Session session = new Session(generator)) {
        int[] base = drain(session.stream(prompt, greedy()));
        generator.select(adapters, "a");
        int[] adapted = drain(session.stream(prompt, greedy()));
        assertEquals(0, session.reused());
        assertArrayEquals(drain(generator.stream(prompt, greedy())), adapted);
        assertFalse(Arrays.equals(base, adapted));
        generator.select(adapters, "a");
        drain(session.stream(prompt, greedy()));
        assertEquals(3, session.reused(), "selecting what is on changes nothing");
      }
    }
  }

  @Test
  void aPromptThatFillsTheContextIsRefusedAndTheSessionGoesOn() {
    try (Generator generator = new Generator(model);
        Session session = new Session(generator)) {
      int[] first = {1, 2, 3};
      int[] answer = drain(session.stream(first, greedy()));
      InvalidInputException e =
          assertThrows(
              InvalidInputException.class, () -> session.stream(new int[CONTEXT], greedy()));
      assertTrue(e.getMessage().contains("the prompt has 120 tokens"), e.getMessage());
      assertArrayEquals(answer, drain(session.stream(first, greedy())));
      assertEquals(CONTEXT - 118, drain(session.stream(new int[118], greedy())).length);
    }
  }

  @Test
  void theSameTurnsWithTheSameSeedAreAnsweredAlikeButNoTwoTurns() {
    SamplingConfig config = SamplingConfig.of(Map.of(SamplingKey.TEMPERATURE, 1.5), 4);
    GenerationSettings drawn = new GenerationSettings(12, Set.of(), config.sampler());
    int[] prompt = {1, 2, 3};
    try (Generator generator = new Generator(model)) {
      int[][] runs = new int[2][];
      for (int run = 0; run < 2; run++) {
        try (Session session = new Session(generator)) {
          int[] first = drain(session.stream(prompt, drawn));
          int[] second = drain(session.stream(prompt, drawn));
          assertFalse(Arrays.equals(first, second));
          runs[run] = joined(first, second);
        }
      }
      assertArrayEquals(runs[0], runs[1]);
      assertArrayEquals(
          Arrays.copyOf(runs[0], 12), drain(generator.stream(prompt, drawn)), "as without one");
      assertEquals(12, generator.complete(List.of(prompt), drawn).get(0).tokens().length);
    }
  }
}
