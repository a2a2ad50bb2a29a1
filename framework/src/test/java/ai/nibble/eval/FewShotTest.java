package ai.nibble.eval;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.InvalidInputException;
import ai.nibble.eval.task.Example;
import java.util.HashSet;
import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

class FewShotTest {
  private record Named(String where, String group, String content) implements Example {}

  private static List<Named> items(int count) {
    return IntStream.range(0, count)
        .mapToObj(i -> new Named("f:" + (i + 1), i % 2 == 0 ? "even" : "odd", "" + i))
        .toList();
  }

  @Test
  void examplesAreOthersOfTheGroupAndNeverTwice() {
    List<Named> all = items(12);
    FewShot<Named> fewShot = new FewShot<>(5, 42, all, true);
    for (int i = 0; i < all.size(); i++) {
      List<Named> examples = fewShot.examples(all.get(i), i);
      assertEquals(5, new HashSet<>(examples).size());
      assertTrue(!examples.contains(all.get(i)));
      String group = all.get(i).group();
      assertTrue(examples.stream().allMatch(e -> e.group().equals(group)));
    }
  }

  @Test
  void theSeedAndTheItemDecide() {
    List<Named> all = items(40);
    FewShot<Named> fewShot = new FewShot<>(4, 1, all, false);
    assertEquals(
        fewShot.examples(all.get(6), 6), new FewShot<>(4, 1, all, false).examples(all.get(6), 6));
    assertNotEquals(fewShot.examples(all.get(6), 6), fewShot.examples(all.get(6), 8));
    assertNotEquals(
        fewShot.examples(all.get(6), 6), new FewShot<>(4, 2, all, false).examples(all.get(6), 6));
  }

  @Test
  void tooFewExamplesAreNamed() {
    List<Named> all = items(6);
    String message =
        assertThrows(
                InvalidInputException.class,
                () -> new FewShot<>(3, 1, all, true).examples(all.get(1), 1))
            .getMessage();
    assertEquals(
        "f:2: --num-fewshot is 3, but there are 2 other examples of 'odd': lower it, or give more"
            + " with --fewshot-file",
        message);
    assertEquals(List.of(), FewShot.<Named>none().examples(all.get(0), 0));
  }

  @Test
  void settingsTellPoolsApart() {
    var own = new FewShot<>(2, 1, items(6), true).settings();
    var other = new FewShot<>(2, 1, items(6), false).settings();
    var more = new FewShot<>(2, 1, items(8), false).settings();
    assertEquals("none", own.get("fewshot_file"));
    assertNotEquals(other, more);
    assertEquals(other, new FewShot<>(2, 1, items(6), false).settings());
  }
}
