package ai.nibble.export.merge;

import java.util.List;

/**
 * Rows of tokens that take the place of a table's.
 *
 * @param ids of the tokens, each once
 * @param values {@code [ids, width]}, row-major
 */
record TokenRows(List<Integer> ids, float[] values) {

  boolean sharesWith(List<Integer> others) {
    return others.stream().anyMatch(ids::contains);
  }

  /**
   * Copies what falls into consecutive elements of the flattened table.
   *
   * @param first index of the first element
   */
  void copyTo(long first, float[] into, int offset, int count) {
    int width = values.length / ids.size();
    for (int i = 0; i < ids.size(); i++) {
      long row = (long) ids.get(i) * width;
      long begin = Math.max(first, row);
      long end = Math.min(first + count, row + width);
      if (begin < end) {
        int from = i * width + (int) (begin - row);
        System.arraycopy(values, from, into, offset + (int) (begin - first), (int) (end - begin));
      }
    }
  }
}
