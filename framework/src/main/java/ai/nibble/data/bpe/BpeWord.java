package ai.nibble.data.bpe;

/** A distinct word as token ids, which merges shorten. */
final class BpeWord {
  /** What a merge does to the neighbours of the joined pair. */
  interface Changes {
    /**
     * @param by −1 for a pair that is gone, 1 for a new one
     */
    void change(int left, int right, int by);
  }

  private final int[] ids;
  private int length;

  BpeWord(int[] ids) {
    this.ids = ids;
    this.length = ids.length;
  }

  int length() {
    return length;
  }

  int id(int index) {
    return ids[index];
  }

  /** Joins every pair {@code left, right}, from the left, into {@code joined}. */
  void merge(int left, int right, int joined, Changes changes) {
    int to = 0;
    for (int from = 0; from < length; from++) {
      boolean match = ids[from] == left && from + 1 < length && ids[from + 1] == right;
      if (!match) {
        ids[to++] = ids[from];
        continue;
      }
      // What is left of it is merged already, what is right of it is not yet.
      if (to > 0) {
        changes.change(ids[to - 1], left, -1);
        changes.change(ids[to - 1], joined, 1);
      }
      if (from + 2 < length) {
        changes.change(right, ids[from + 2], -1);
        changes.change(joined, ids[from + 2], 1);
      }
      ids[to++] = joined;
      from++;
    }
    length = to;
  }
}
