package ai.nibble.recipe;

import ai.nibble.InvalidInputException;
import ai.nibble.data.Example;
import ai.nibble.data.Examples;
import java.util.Arrays;
import java.util.List;
import java.util.Random;

/**
 * Training rows of which some are held back for evaluation, drawn by the seed.
 *
 * @param kept for training, in their order
 * @param held for evaluation, in their order
 * @param heldIndices of those held back, ascending
 */
record HoldOut(List<Example> kept, List<Example> held, List<Integer> heldIndices) {
  private static InvalidInputException leavesNone(long count, long rows, Recipe recipe) {
    return new InvalidInputException(
        recipe.where("val_set_size")
            + ": 'val_set_size' holds back "
            + count
            + " of "
            + rows
            + " rows, expected to leave some for training: lower it");
  }

  /**
   * Splits rows.
   *
   * @param recipe whose seed draws, and which says how many
   * @throws InvalidInputException if none would be left
   */
  static HoldOut of(List<Example> rows, Recipe recipe) {
    long count = recipe.data().valSetSize().rows(rows.size());
    if (count >= rows.size()) {
      throw leavesNone(count, rows.size(), recipe);
    }
    int[] order = new int[rows.size()];
    for (int i = 0; i < order.length; i++) {
      order[i] = i;
    }
    // java.util.Random's generator is specified: the same rows on every machine
    Random random = new Random(recipe.seed());
    for (int i = order.length; i > 1; i--) {
      int j = random.nextInt(i);
      int swapped = order[i - 1];
      order[i - 1] = order[j];
      order[j] = swapped;
    }
    int[] held = Arrays.copyOf(order, (int) count);
    int[] kept = Arrays.copyOfRange(order, (int) count, order.length);
    Arrays.sort(held);
    Arrays.sort(kept);
    return new HoldOut(
        Examples.selected(rows, kept),
        Examples.selected(rows, held),
        Arrays.stream(held).boxed().toList());
  }
}
