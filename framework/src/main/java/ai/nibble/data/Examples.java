package ai.nibble.data;

import java.util.AbstractList;
import java.util.List;
import java.util.Objects;
import java.util.RandomAccess;

/**
 * Examples by index that may be in a file rather than in memory; their lengths are known without
 * reading them. Unmodifiable.
 */
public interface Examples extends List<Example>, RandomAccess {
  /** The number of tokens of the example at that index. */
  int length(int index);

  /** The number of tokens of one of the examples, without reading it where that is possible. */
  static int length(List<Example> examples, int index) {
    return examples instanceof Examples known ? known.length(index) : examples.get(index).length();
  }

  /** The same examples, which nobody can change: not copied where they may be in a file. */
  static List<Example> unmodifiable(List<Example> examples) {
    return examples instanceof Examples ? examples : List.copyOf(examples);
  }

  /** The examples of all lists, one behind the other; only the place of each list is kept. */
  static List<Example> joined(List<List<Example>> lists) {
    return lists.size() == 1 ? lists.get(0) : new Joined(List.copyOf(lists));
  }

  /** Those of a list at these indices. */
  static List<Example> selected(List<Example> from, int[] indices) {
    return new Selected(from, indices.clone());
  }

  /** Lists behind one another. */
  final class Joined extends AbstractList<Example> implements Examples {
    private final List<List<Example>> lists;
    private final int[] begins;

    private Joined(List<List<Example>> lists) {
      this.lists = lists;
      this.begins = new int[lists.size() + 1];
      for (int i = 0; i < lists.size(); i++) {
        begins[i + 1] = Math.addExact(begins[i], lists.get(i).size());
      }
    }

    private int listOf(int index) {
      Objects.checkIndex(index, size());
      int list = 0;
      while (begins[list + 1] <= index) {
        list++;
      }
      return list;
    }

    @Override
    public Example get(int index) {
      int list = listOf(index);
      return lists.get(list).get(index - begins[list]);
    }

    @Override
    public int length(int index) {
      int list = listOf(index);
      return Examples.length(lists.get(list), index - begins[list]);
    }

    @Override
    public int size() {
      return begins[lists.size()];
    }
  }

  /** Some of a list. */
  final class Selected extends AbstractList<Example> implements Examples {
    private final List<Example> from;
    private final int[] indices;

    private Selected(List<Example> from, int[] indices) {
      this.from = from;
      this.indices = indices;
    }

    @Override
    public Example get(int index) {
      return from.get(indices[index]);
    }

    @Override
    public int length(int index) {
      return Examples.length(from, indices[index]);
    }

    @Override
    public int size() {
      return indices.length;
    }
  }
}
