package ai.nibble.recipe;

import ai.nibble.InvalidInputException;
import ai.nibble.data.Example;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Random;

/**
 * Training rows of which some are held back for evaluation, drawn by the seed.
 *
 * @param kept for training, in their order
 * @param held for evaluation, in their order
 */
record HoldOut(List<Example> kept, List<Example> held) {
  static HoldOut of(List<Example> rows, ValSetSize size, long seed) {
    long count = size.rows(rows.size());
    if (count >= rows.size()) {
      throw new InvalidInputException(
          "val_set_size holds back "
              + count
              + " of "
              + rows.size()
              + " rows, expected to leave some for training: lower it");
    }
    List<Integer> order = new ArrayList<>();
    for (int i = 0; i < rows.size(); i++) {
      order.add(i);
    }
    // java.util.Random's generator is specified: the same rows on every machine
    Collections.shuffle(order, new Random(seed));
    List<Integer> chosen = order.subList(0, (int) count).stream().sorted().toList();
    List<Example> kept = new ArrayList<>(rows);
    List<Example> held = new ArrayList<>();
    for (int i = chosen.size() - 1; i >= 0; i--) {
      held.add(0, kept.remove(chosen.get(i).intValue()));
    }
    return new HoldOut(kept, held);
  }
}
