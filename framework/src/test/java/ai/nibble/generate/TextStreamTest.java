package ai.nibble.generate;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;

import ai.nibble.Shared;
import ai.nibble.data.SmallTokenizer;
import ai.nibble.data.Tokenizer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Text as it comes is the text of the whole. */
class TextStreamTest {
  private static final String TEXT = "  größer, 漢字 and 🦙🦙!\n\n  x \uFFFD y ";

  @TempDir Path folder;

  private static List<String> pieces(Tokenizer tokenizer, int[] ids) {
    TextStream stream = new TextStream(tokenizer);
    List<String> pieces = new ArrayList<>();
    for (int id : ids) {
      pieces.add(stream.accept(id));
    }
    pieces.add(stream.end());
    return pieces;
  }

  @Test
  void aCharacterWaitsForItsLastByte() {
    SmallTokenizer.write(folder, false);
    try (Tokenizer tokenizer = Tokenizer.load(folder)) {
      List<String> pieces = pieces(tokenizer, tokenizer.encode("a🦙b").ids());
      assertEquals(List.of("a", "", "", "", "🦙", "b", ""), pieces);
      pieces = pieces(tokenizer, tokenizer.encode(TEXT).ids());
      assertEquals(TEXT, String.join("", pieces));
    }
  }

  @Test
  void whatNeverBecomesACharacterComesAtTheEnd() {
    SmallTokenizer.write(folder, false);
    try (Tokenizer tokenizer = Tokenizer.load(folder)) {
      int[] ids = tokenizer.encode("a🦙").ids();
      int[] cut = java.util.Arrays.copyOf(ids, ids.length - 1);
      List<String> pieces = pieces(tokenizer, cut);
      assertEquals("a", String.join("", pieces.subList(0, cut.length)));
      assertEquals(tokenizer.decode(cut, true), String.join("", pieces));
    }
  }

  @Test
  void controlTokensAndIdsWithoutATokenHaveNoText() {
    SmallTokenizer.write(folder, false);
    try (Tokenizer tokenizer = Tokenizer.load(folder)) {
      int[] ids = {'a', SmallTokenizer.END, 5000, 'b'};
      assertEquals("ab", String.join("", pieces(tokenizer, ids)));
      assertEquals("ab", TextStream.text(tokenizer, ids));
      assertEquals("", TextStream.text(tokenizer, new int[0]));
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {TEXT, " leading", "def f(x):\n    return  x\n", "e\u0301 ‍👩‍💻"})
  void aRealTokenizersTextIsThatOfAllTokensAtOnce(String text) {
    try (Tokenizer tokenizer = Tokenizer.load(Shared.path("models/smollm2-135m-instruct"))) {
      int[] ids = tokenizer.encode(text).ids();
      List<String> pieces = pieces(tokenizer, ids);
      assertEquals(tokenizer.decode(ids, true), String.join("", pieces));
      for (String piece : pieces.subList(0, ids.length)) {
        assertFalse(piece.endsWith("\uFFFD"), pieces.toString());
      }
    }
  }
}
