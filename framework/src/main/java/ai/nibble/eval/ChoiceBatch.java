package ai.nibble.eval;

import ai.nibble.nn.Pass;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;

/**
 * Texts whose ends are scored, by groups that may begin alike: what all texts of a group begin with
 * is computed once, and the rest of each goes on from there ({@link Pass#branching}). That is exact
 * whatever the texts are: what is shared is the longest common prefix of their tokens, and a
 * token's hidden state depends only on those before it. Groups that share nothing are computed text
 * by text, in the same pass.
 */
final class ChoiceBatch {
  private final IntStream.Builder ids = IntStream.builder();
  private final IntStream.Builder positions = IntStream.builder();
  private final IntStream.Builder targets = IntStream.builder();
  private final IntStream.Builder starts = IntStream.builder().add(0);
  private final IntStream.Builder trunks = IntStream.builder();
  private final List<int[]> counts = new ArrayList<>();
  private int tokens;
  private int sequences;

  /**
   * A text.
   *
   * @param ids all of its tokens, at least two
   * @param from the first token whose log-likelihood counts, at least 1
   */
  record Text(int[] ids, int from) {
    /** Tokens that are fed: the last predicts nothing. */
    int fed() {
      return ids.length - 1;
    }
  }

  /** Tokens that have to be computed. */
  int tokens() {
    return tokens;
  }

  /** Adds a group of texts. */
  void add(List<Text> group) {
    int shared = sharedPrefix(group);
    int trunkStart = tokens;
    int trunk = Pass.NO_TRUNK;
    if (shared > 0) {
      trunk = append(group.get(0).ids, 0, shared, Pass.NO_TRUNK);
    }
    for (Text text : group) {
      int start = tokens;
      if (text.fed() > shared) {
        append(text.ids, shared, text.fed(), trunk);
      }
      for (int t = text.from; t < text.ids.length; t++) {
        int at = t - 1;
        positions.add(at < shared ? trunkStart + at : start + at - shared);
        targets.add(text.ids[t]);
      }
    }
    counts.add(group.stream().mapToInt(text -> text.ids.length - text.from).toArray());
  }

  private int append(int[] text, int begin, int end, int trunk) {
    Arrays.stream(text, begin, end).forEach(ids);
    tokens += end - begin;
    starts.add(tokens);
    trunks.add(trunk);
    return sequences++;
  }

  private static int sharedPrefix(List<Text> group) {
    Text first = group.get(0);
    int shared = first.fed();
    for (Text text : group) {
      int same = Arrays.mismatch(first.ids, 0, shared, text.ids, 0, Math.min(shared, text.fed()));
      shared = same < 0 ? shared : same;
    }
    return shared;
  }

  /** The sum of the counted tokens' log-likelihoods of every text, by groups as they were added. */
  List<double[]> sums(Subject subject) {
    Pass pass = Pass.branching(starts.build().toArray(), trunks.build().toArray());
    double[] each =
        subject.logLikelihoods(
            ids.build().toArray(), pass, positions.build().toArray(), targets.build().toArray());
    List<double[]> sums = new ArrayList<>();
    int at = 0;
    for (int[] group : counts) {
      double[] own = new double[group.length];
      for (int c = 0; c < own.length; c++) {
        own[c] = Arrays.stream(each, at, at + group[c]).sum();
        at += group[c];
      }
      sums.add(own);
    }
    return sums;
  }
}
