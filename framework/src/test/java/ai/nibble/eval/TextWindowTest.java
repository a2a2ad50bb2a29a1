package ai.nibble.eval;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

class TextWindowTest {
  private static List<Integer> counted(List<TextWindow> windows) {
    List<Integer> tokens = new ArrayList<>();
    windows.forEach(w -> IntStream.range(w.countedFrom(), w.end()).forEach(tokens::add));
    return tokens;
  }

  @Test
  void overlappingWindowsCountEveryTokenButTheFirstExactlyOnce() {
    for (int tokens = 2; tokens < 40; tokens++) {
      for (int window = 2; window < 12; window++) {
        for (int stride = 1; stride < window; stride++) {
          List<TextWindow> windows = TextWindow.cut(tokens, window, stride);
          assertEquals(IntStream.range(1, tokens).boxed().toList(), counted(windows));
          for (TextWindow w : windows) {
            assertTrue(w.end() - w.begin() <= window && w.countedFrom() > w.begin(), w.toString());
          }
        }
      }
    }
  }

  @Test
  void aTokenOfALaterWindowHasAWindowLessAStrideBeforeIt() {
    assertEquals(
        List.of(
            new TextWindow(0, 1, 8),
            new TextWindow(3, 8, 11),
            new TextWindow(6, 11, 14),
            new TextWindow(9, 14, 15)),
        TextWindow.cut(15, 8, 3));
  }

  @Test
  void windowsSideBySideCountAllButTheirFirstTokens() {
    assertEquals(
        List.of(new TextWindow(0, 1, 4), new TextWindow(4, 5, 8), new TextWindow(8, 9, 10)),
        TextWindow.cut(10, 4, 4));
    // a last window of a single token has nothing to predict
    assertEquals(2, TextWindow.cut(9, 4, 4).size());
    assertEquals(List.of(), TextWindow.cut(1, 4, 4));
  }

  @Test
  void aStrideBeyondTheWindowWouldLeaveTokensOut() {
    assertThrows(IllegalArgumentException.class, () -> TextWindow.cut(10, 4, 5));
    assertThrows(IllegalArgumentException.class, () -> TextWindow.cut(10, 4, 0));
  }
}
