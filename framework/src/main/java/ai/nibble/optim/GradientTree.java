package ai.nibble.optim;

import java.nio.FloatBuffer;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.function.BiConsumer;

/**
 * Sums the gradients of micro-batches as a fixed binary tree over their numbers.
 *
 * <p>The tree over leaves {@code [0, n)} splits at the largest power of two below {@code n}, on
 * both sides again: seven leaves give {@code ((g0+g1)+(g2+g3)) + ((g4+g5)+g6)}. The association
 * depends on {@code n} alone, so one worker that computes all leaves and several that compute a
 * stretch each get the same bits:
 *
 * <pre>{@code
 * var left = GradientTree.ofFloats(elements, 0);   // worker 0: leaves 0, 1, 2
 * var right = GradientTree.ofFloats(elements, 3);  // worker 1: leaves 3, 4
 * left.append(right);
 * FloatBuffer sum = left.sum();
 * }</pre>
 *
 * <p>It works like a binary counter: a finished subtree of {@code 2^l} leaves is added to its left
 * neighbour of the same size as soon as both are there, in place. At most {@code log2(n)+1} flat
 * buffers are held (twice that for a stretch that does not begin at 0), and reused after {@link
 * #clear}. Not safe for use by several threads at once; the additions themselves are parallel.
 */
public final class GradientTree<B> {
  /** Flat float32 buffers of one length, in whatever memory. */
  public interface Buffers<B> {
    /** A buffer of this length, whose values do not matter. */
    B allocate();

    /** {@code into += from}, one rounding each. */
    void add(B into, B from);

    void copy(B into, B from);

    /** Another view of the same values. */
    B view(B buffer);

    /**
     * @throws IllegalArgumentException if it is of another length
     */
    void check(B buffer);

    /** Elements of a buffer. */
    int elements();
  }

  /** A finished subtree: leaves {@code [first, first + 2^level)}. */
  private record Node<B>(long first, int level, B sum) {
    boolean isLeftSiblingOf(Node<B> next) {
      return level == next.level
          && first + (1L << level) == next.first
          && Long.numberOfTrailingZeros(first) > level;
    }
  }

  private final Buffers<B> buffers;
  private final List<Node<B>> nodes = new ArrayList<>();
  private final Deque<B> free = new ArrayDeque<>();
  private long firstLeaf;
  private long nextLeaf;
  private boolean complete;

  /** A tree over buffers on the heap or of the CPU, whose first leaf is micro-batch 0. */
  public static GradientTree<FloatBuffer> ofFloats(int elements) {
    return ofFloats(elements, 0);
  }

  /** A stretch of a tree over buffers on the heap or of the CPU. */
  public static GradientTree<FloatBuffer> ofFloats(int elements, long firstLeaf) {
    return new GradientTree<>(new FloatBuffers(elements), firstLeaf);
  }

  /**
   * A stretch of a tree.
   *
   * @param buffers where every gradient buffer is
   * @param firstLeaf the number of the first micro-batch added here
   */
  public GradientTree(Buffers<B> buffers, long firstLeaf) {
    this.buffers = buffers;
    begin(firstLeaf);
  }

  /**
   * Begins another stretch, with the buffers of the last.
   *
   * @param first the number of the first micro-batch added here
   */
  public void begin(long first) {
    if (first < 0) {
      throw new IllegalArgumentException("first leaf is " + first + ", expected at least 0");
    }
    firstLeaf = first;
    clear();
  }

  /** Leaves added so far, here and in what was appended. */
  public long leaves() {
    return nextLeaf - firstLeaf;
  }

  /**
   * Adds the next micro-batch's gradients.
   *
   * @param grads float32 {@code [elements]}, read only and not kept
   */
  public void add(B grads) {
    buffers.check(grads);
    requireOpen();
    push(new Node<>(nextLeaf, 0, grads), false);
    nextLeaf++;
  }

  /**
   * Adds the leaves of the stretch that follows this one and leaves it empty.
   *
   * @param next a tree over the same elements whose first leaf is this one's next, in memory that
   *     can be read here
   */
  public void append(GradientTree<B> next) {
    requireFollows(next);
    // copied rather than moved, so that each tree's pool of buffers stays as large as it needs
    next.nodes.forEach(node -> push(node, false));
    nextLeaf = next.nextLeaf;
    next.clear();
  }

  /**
   * Adds the leaves of the stretch that follows this one, in memory that cannot be read here, and
   * leaves it empty.
   *
   * @param fetch copies the second, a buffer of the other tree, into the first, one of this tree
   */
  public void append(GradientTree<B> next, BiConsumer<B, B> fetch) {
    requireFollows(next);
    for (Node<B> node : next.nodes) {
      B here = unused();
      fetch.accept(here, node.sum);
      push(new Node<>(node.first, node.level, here), true);
    }
    nextLeaf = next.nextLeaf;
    next.clear();
  }

  private void requireFollows(GradientTree<B> next) {
    if (next.buffers.elements() != buffers.elements() || next.firstLeaf != nextLeaf) {
      throw new IllegalArgumentException(
          "a stretch of "
              + next.buffers.elements()
              + " values from leaf "
              + next.firstLeaf
              + ", expected "
              + buffers.elements()
              + " values from leaf "
              + nextLeaf);
    }
    requireOpen();
    next.requireOpen();
  }

  /**
   * The sum of all leaves; the tree is complete and must be cleared before the next leaf.
   *
   * @return owned by the tree and valid until it is cleared
   * @throws IllegalStateException if no leaf was added or the tree does not begin at leaf 0
   */
  public B sum() {
    if (nodes.isEmpty() || firstLeaf != 0) {
      throw new IllegalStateException(
          "the sum of "
              + leaves()
              + " leaves from leaf "
              + firstLeaf
              + ", expected at least one, from leaf 0");
    }
    complete = true;
    // what is left is ordered by falling size; the tail is folded from the right
    while (nodes.size() > 1) {
      Node<B> right = nodes.remove(nodes.size() - 1);
      buffers.add(nodes.get(nodes.size() - 1).sum, right.sum);
      free.push(right.sum);
    }
    return buffers.view(nodes.get(0).sum);
  }

  /** Forgets all leaves and keeps the buffers for the next sum. */
  public void clear() {
    nodes.forEach(node -> free.push(node.sum));
    nodes.clear();
    nextLeaf = firstLeaf;
    complete = false;
  }

  /** Flat buffers that the sum of so many leaves needs, from leaf 0 on. */
  public static int buffersFor(int leaves) {
    // as many subtrees stand side by side as a number up to this one has ones
    return Integer.SIZE - 1 - Integer.numberOfLeadingZeros(leaves + 1);
  }

  /** The number of flat buffers allocated by this tree and held now. */
  int buffers() {
    return nodes.size() + free.size();
  }

  private void requireOpen() {
    if (complete) {
      throw new IllegalStateException("the sum was taken: clear the tree before the next leaf");
    }
  }

  /**
   * Carries a subtree.
   *
   * @param mine whether its buffer is one of this tree's; one of someone else's is read, never kept
   */
  private void push(Node<B> node, boolean mine) {
    Node<B> carry = node;
    boolean own = mine;
    while (!nodes.isEmpty() && nodes.get(nodes.size() - 1).isLeftSiblingOf(carry)) {
      Node<B> left = nodes.remove(nodes.size() - 1);
      buffers.add(left.sum, carry.sum);
      if (own) {
        free.push(carry.sum);
      }
      carry = new Node<>(left.first, left.level + 1, left.sum);
      own = true;
    }
    nodes.add(own ? carry : new Node<>(carry.first, carry.level, copyOf(carry.sum)));
  }

  private B unused() {
    return free.isEmpty() ? buffers.allocate() : free.pop();
  }

  private B copyOf(B values) {
    B copy = unused();
    buffers.copy(copy, values);
    return copy;
  }

  private record FloatBuffers(int elements) implements Buffers<FloatBuffer> {
    @Override
    public FloatBuffer allocate() {
      return FlatFloats.allocate(elements);
    }

    @Override
    public void add(FloatBuffer into, FloatBuffer from) {
      FlatFloats.add(into, from);
    }

    @Override
    public void copy(FloatBuffer into, FloatBuffer from) {
      FlatFloats.copy(into, from);
    }

    @Override
    public FloatBuffer view(FloatBuffer buffer) {
      return buffer.duplicate();
    }

    @Override
    public void check(FloatBuffer buffer) {
      FlatFloats.requireLength("grads", buffer, elements);
    }
  }
}
