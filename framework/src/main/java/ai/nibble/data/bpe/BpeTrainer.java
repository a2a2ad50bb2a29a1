package ai.nibble.data.bpe;

import ai.nibble.InvalidInputException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.PriorityQueue;
import java.util.Set;

/**
 * Learns merges: the pair with the highest count first, of equal ones the pair with the smaller
 * ids, as in Hugging Face's {@code BpeTrainer} (tokenizers 0.23, {@code models/bpe/trainer.rs}),
 * whose merges it reproduces.
 *
 * <p>Counts are kept up to date instead of taken anew: a merge touches only the words that hold its
 * pair. The queue's counts may be out of date; an entry that is goes back with its present count.
 */
public final class BpeTrainer {
  private static final Comparator<Candidate> FIRST =
      Comparator.comparingLong(Candidate::count)
          .reversed()
          .thenComparingInt(candidate -> left(candidate.pair()))
          .thenComparingInt(candidate -> right(candidate.pair()));

  private final int vocabSize;
  private final long minFrequency;
  private final List<String> tokens = new ArrayList<>();
  private final Map<String, Integer> ids = new HashMap<>();
  private final int special;
  private BpeWord[] words;
  private long[] counts;
  private final Map<Long, Long> pairCounts = new HashMap<>();
  private final PriorityQueue<Candidate> queue = new PriorityQueue<>(FIRST);
  // A pair can be joined twice where two ways lead to one token; its later rank counts.
  private final Set<Long> merges = new LinkedHashSet<>();

  /** A pair, its count when it was queued, and the words that got it since it was last queued. */
  private record Candidate(long pair, long count, Positions words) {}

  /** Indices of words; a repeated one does no harm, as the second merge finds nothing. */
  private static final class Positions {
    private int[] indices = new int[2];
    private int size;

    void add(int index) {
      if (size > 0 && indices[size - 1] == index) {
        return;
      }
      if (size == indices.length) {
        indices = Arrays.copyOf(indices, 2 * size);
      }
      indices[size++] = index;
    }
  }

  /**
   * @param vocabSize tokens in all, special ones and the 256 of the alphabet included
   * @param special tokens that are never split, which get the first ids
   * @param minFrequency a pair that comes up less often is not joined
   * @throws InvalidInputException where the vocabulary has no room for the alphabet, or a special
   *     token is empty, given twice or a character of the alphabet
   */
  public BpeTrainer(int vocabSize, List<String> special, long minFrequency) {
    this.vocabSize = vocabSize;
    this.minFrequency = minFrequency;
    this.special = special.size();
    int least = special.size() + ByteAlphabet.SIZE;
    if (vocabSize < least) {
      throw new InvalidInputException(
          "the vocabulary size is "
              + vocabSize
              + ", expected at least "
              + least
              + ": 256 bytes and "
              + special.size()
              + " special tokens");
    }
    special.forEach(this::token);
    for (char c : ByteAlphabet.sorted()) {
      token(String.valueOf(c));
    }
    Set<String> distinct = new LinkedHashSet<>(special);
    if (distinct.contains("") || tokens.size() < least) {
      throw new InvalidInputException(
          "the special tokens are "
              + special
              + ", expected different ones of at least two characters");
    }
  }

  private int token(String text) {
    Integer known = ids.putIfAbsent(text, tokens.size());
    if (known == null) {
      tokens.add(text);
      return tokens.size() - 1;
    }
    return known;
  }

  /**
   * Learns from these words. May end below the vocabulary size, where no pair is left that comes up
   * often enough.
   *
   * @throws InvalidInputException where there are no words
   * @throws IllegalStateException where this trainer has trained already
   */
  public BpeVocabulary train(WordCounts input) {
    if (words != null) {
      throw new IllegalStateException("this trainer has trained already, expected a new one");
    }
    if (input.counts().isEmpty()) {
      throw new InvalidInputException("the input holds no text, expected some to learn from");
    }
    read(input.counts());
    countPairs();
    while (tokens.size() < vocabSize && !queue.isEmpty()) {
      Candidate best = queue.poll();
      long count = pairCounts.get(best.pair());
      if (best.count() != count) {
        queue.add(new Candidate(best.pair(), count, best.words()));
      } else if (count < 1 || count < minFrequency) {
        break;
      } else {
        merge(best);
      }
    }
    List<BpeVocabulary.Merge> learned =
        merges.stream()
            .map(p -> new BpeVocabulary.Merge(tokens.get(left(p)), tokens.get(right(p))))
            .toList();
    return new BpeVocabulary(tokens, special, learned);
  }

  private void read(Map<String, Long> distinct) {
    words = new BpeWord[distinct.size()];
    counts = new long[words.length];
    int next = 0;
    for (Map.Entry<String, Long> entry : distinct.entrySet()) {
      int[] letters =
          ByteAlphabet.write(entry.getKey())
              .chars()
              .map(c -> ids.get(Character.toString(c)))
              .toArray();
      words[next] = new BpeWord(letters);
      counts[next++] = entry.getValue();
    }
  }

  private void countPairs() {
    Map<Long, Positions> where = new HashMap<>();
    for (int w = 0; w < words.length; w++) {
      for (int i = 0; i + 1 < words[w].length(); i++) {
        change(pair(words[w].id(i), words[w].id(i + 1)), counts[w], w, where);
      }
    }
    enqueue(where);
  }

  private void merge(Candidate best) {
    int left = left(best.pair());
    int right = right(best.pair());
    int joined = token(tokens.get(left) + tokens.get(right));
    merges.remove(best.pair());
    merges.add(best.pair());
    Map<Long, Positions> where = new HashMap<>();
    for (int i = 0; i < best.words().size; i++) {
      int w = best.words().indices[i];
      words[w].merge(
          left, right, joined, (l, r, by) -> change(pair(l, r), by * counts[w], w, where));
    }
    enqueue(where);
  }

  /** Counts a change of a pair in a word, and remembers where a pair is new. */
  private void change(long pair, long by, int word, Map<Long, Positions> where) {
    pairCounts.merge(pair, by, Long::sum);
    if (by > 0) {
      where.computeIfAbsent(pair, p -> new Positions()).add(word);
    }
  }

  private void enqueue(Map<Long, Positions> where) {
    where.forEach(
        (pair, positions) -> {
          long count = pairCounts.get(pair);
          if (count > 0) {
            queue.add(new Candidate(pair, count, positions));
          }
        });
  }

  private static long pair(int left, int right) {
    return (long) left << 32 | right;
  }

  private static int left(long pair) {
    return (int) (pair >> 32);
  }

  private static int right(long pair) {
    return (int) pair;
  }
}
