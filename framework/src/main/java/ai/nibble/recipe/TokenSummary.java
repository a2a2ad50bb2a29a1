package ai.nibble.recipe;

import ai.nibble.data.Example;
import ai.nibble.data.Tokenizer;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.IntStream;

/**
 * What training rows are made of.
 *
 * @param rows how many
 * @param tokens of all rows
 * @param lossTokens of these, how many carry loss
 * @param lengths tokens of each sequence, ascending: of a pair of answers two, of any other row one
 * @param turns stretches of tokens with loss: trained turns, completions, texts
 * @param ends control tokens that end such stretches, and how many each
 * @param withoutEnd stretches that end in no control token
 * @param bos text of the beginning-of-sequence token; empty where the tokenizer names none
 * @param bosRows rows that begin with it
 * @param doubledBosRows rows that begin with it twice
 */
public record TokenSummary(
    int rows,
    long tokens,
    long lossTokens,
    int[] lengths,
    long turns,
    Map<String, Long> ends,
    long withoutEnd,
    String bos,
    long bosRows,
    long doubledBosRows) {

  static TokenSummary of(Tokenizer tokenizer, List<Example> rows) {
    Count count = new Count(tokenizer);
    rows.forEach(count::add);
    int[] lengths = count.lengths.build().sorted().toArray();
    return new TokenSummary(
        rows.size(),
        Arrays.stream(lengths).asLongStream().sum(),
        count.lossTokens,
        lengths,
        count.turns,
        count.ends,
        count.withoutEnd,
        tokenizer.bosId().isEmpty() ? "" : text(tokenizer, count.bosId),
        count.bosRows,
        count.doubledBosRows);
  }

  private static String text(Tokenizer tokenizer, int id) {
    return tokenizer.decode(new int[] {id}, false);
  }

  /** The length that a share of the sequences does not exceed, by nearest rank. */
  public int length(double share) {
    int rank = (int) Math.ceil(share * lengths.length);
    return lengths[Math.max(0, rank - 1)];
  }

  private static final class Count {
    private final Tokenizer tokenizer;
    private final int bosId;
    private final IntStream.Builder lengths = IntStream.builder();
    private final Map<String, Long> ends = new TreeMap<>();
    private long lossTokens;
    private long turns;
    private long withoutEnd;
    private long bosRows;
    private long doubledBosRows;

    Count(Tokenizer tokenizer) {
      this.tokenizer = tokenizer;
      this.bosId = tokenizer.bosId().orElse(-1);
    }

    void add(Example row) {
      int[] ids = row.inputIds();
      lossTokens += row.lossTokens();
      bosRows += ids[0] == bosId ? 1 : 0;
      doubledBosRows += ids.length > 1 && ids[0] == bosId && ids[1] == bosId ? 1 : 0;
      row.sequences().forEach(this::addSequence);
    }

    private void addSequence(Example sequence) {
      int[] ids = sequence.inputIds();
      lengths.add(ids.length);
      for (int t = 1; t < ids.length; t++) {
        boolean last = t + 1 == ids.length || sequence.labels()[t + 1] == Example.IGNORED;
        if (sequence.labels()[t] != Example.IGNORED && last) {
          turnEnded(ids[t]);
        }
      }
    }

    private void turnEnded(int id) {
      turns++;
      if (tokenizer.isControl(id) || tokenizer.eosId().orElse(-1) == id) {
        ends.merge(text(tokenizer, id), 1L, Long::sum);
      } else {
        withoutEnd++;
      }
    }
  }
}
