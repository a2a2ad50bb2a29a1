package ai.nibble.quant;

import ai.nibble.InvalidInputException;

/**
 * The groups of columns of a matrix of integer codes.
 *
 * @param size columns of a group; all have as many
 * @param groupOf the group of each column, {@code [in]}
 * @param scales {@code [groups, out]}
 * @param zeros from 0 to 255, {@code [groups, out]}
 */
public record ColumnGroups(int size, int[] groupOf, float[] scales, byte[] zeros) {
  public ColumnGroups {
    if (groupOf.length % size != 0 || scales.length != zeros.length) {
      throw new IllegalArgumentException(groupOf.length + " columns in groups of " + size);
    }
  }

  /** How many there are. */
  public int count() {
    return groupOf.length / size;
  }

  /**
   * Checks what comes from a file.
   *
   * @param name of the matrix, for messages
   * @throws InvalidInputException if a column is in no group, or a group has another size, or a
   *     scale is not finite
   */
  public void check(String name) {
    int[] columns = new int[count()];
    for (int c = 0; c < groupOf.length; c++) {
      if (groupOf[c] < 0 || groupOf[c] >= columns.length) {
        throw damaged(
            name,
            "column " + c + " is in group " + groupOf[c],
            "one of " + columns.length + " groups");
      }
      columns[groupOf[c]]++;
    }
    for (int g = 0; g < columns.length; g++) {
      if (columns[g] != size) {
        throw damaged(name, "group " + g + " has " + columns[g] + " columns", "" + size);
      }
    }
    for (int i = 0; i < scales.length; i++) {
      if (!Float.isFinite(scales[i])) {
        int rows = scales.length / count();
        throw damaged(
            name,
            "the scale of group " + i / rows + ", row " + i % rows + " is " + scales[i],
            "a finite one");
      }
    }
  }

  private static InvalidInputException damaged(String name, String seen, String expected) {
    return new InvalidInputException(
        "weight '" + name + "': " + seen + ", expected " + expected + ": the file is damaged");
  }

  /** Whether groups are consecutive columns. */
  boolean areConsecutive() {
    for (int c = 0; c < groupOf.length; c++) {
      if (groupOf[c] != c / size) {
        return false;
      }
    }
    return true;
  }

  /** Columns such that those of a group follow each other, in their own order. */
  int[] order() {
    int[] next = new int[count()];
    int[] order = new int[groupOf.length];
    for (int c = 0; c < groupOf.length; c++) {
      int group = groupOf[c];
      order[group * size + next[group]++] = c;
    }
    return order;
  }
}
