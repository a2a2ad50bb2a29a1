package ai.nibble.generate;

import static org.junit.jupiter.api.Assertions.assertEquals;

import ai.nibble.data.SmallTokenizer;
import ai.nibble.data.Tokenizer;
import java.nio.FloatBuffer;
import java.nio.file.Path;
import java.util.Map;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Of a model with rows for more ids than its tokenizer has. */
class GenerationSettingsTest {
  private static final int ROWS = 300;

  @TempDir Path folder;

  private static FloatBuffer logits(int best) {
    float[] logits = new float[ROWS];
    logits[7] = 1; // the most likely token of the tokenizer's
    logits[best] = 5;
    return FloatBuffer.wrap(logits);
  }

  @Test
  void aTokenThatTheTokenizerDoesNotHaveIsNeitherPickedNorDrawn() {
    SmallTokenizer.write(folder, false);
    TokenHistory history = new TokenHistory(0, new int[] {0});
    SamplingConfig drawing =
        SamplingConfig.of(Map.of(SamplingKey.TOP_K, 1.0, SamplingKey.REPETITION_PENALTY, 1.5), 11);
    try (Tokenizer tokenizer = Tokenizer.load(folder)) {
      int known = tokenizer.vocabSize();
      for (Sampler sampler : new Sampler[] {Sampler.GREEDY, drawing.sampler()}) {
        GenerationSettings settings = new GenerationSettings(4, Set.of(2), sampler);
        Sampler within = settings.within(tokenizer).sampler();
        assertEquals(ROWS - 1, sampler.pick(logits(ROWS - 1), history));
        assertEquals(7, within.pick(logits(ROWS - 1), history));
        assertEquals(7, within.pick(logits(known), history));
        assertEquals(known - 1, within.pick(logits(known - 1), history));
        float[] fewer = {1, 3, 2};
        assertEquals(1, within.pick(FloatBuffer.wrap(fewer), history), "a smaller model");
      }
    }
  }

  /** It has no text, but without it the answer would not end. */
  @Test
  void oneThatEndsAnswersStays() {
    SmallTokenizer.write(folder, false);
    try (Tokenizer tokenizer = Tokenizer.load(folder)) {
      GenerationSettings settings = GenerationSettings.greedy(4, Set.of(2, ROWS - 2));
      Sampler within = settings.within(tokenizer).sampler();
      TokenHistory history = new TokenHistory(0, new int[] {3});
      assertEquals(ROWS - 2, within.pick(logits(ROWS - 2), history));
      assertEquals(7, within.pick(logits(ROWS - 1), history));
      assertEquals(4, settings.within(tokenizer).maxNewTokens());
      assertEquals(settings.stopTokens(), settings.within(tokenizer).stopTokens());
    }
  }
}
