package ai.nibble.train.objective;

import ai.nibble.data.Batch;
import ai.nibble.data.Example;
import ai.nibble.data.Examples;
import ai.nibble.model.CausalLm;
import java.util.AbstractList;
import java.util.List;

/**
 * Rows that know what a reference thinks of their answers, so that training computes none. It is
 * asked about each by itself, so the numbers depend on nothing else: not on the order of the rows,
 * nor on which run asks.
 */
public final class ReferenceRows extends AbstractList<Example> implements Examples {
  private final List<Example> rows;
  private final double[][] known;

  /**
   * Asks the reference about every row.
   *
   * @param model as it is before training
   * @param eachRow called before each row; what it throws ends the work
   */
  public ReferenceRows(CausalLm model, Reference reference, List<Example> rows, Runnable eachRow) {
    this.rows = rows;
    this.known = new double[rows.size()][];
    for (int i = 0; i < known.length; i++) {
      eachRow.run();
      known[i] = reference.logProbs(model, Batch.of(List.of(rows.get(i))));
    }
  }

  @Override
  public Example get(int index) {
    return rows.get(index).withReference(known[index]);
  }

  @Override
  public int length(int index) {
    return Examples.length(rows, index);
  }

  @Override
  public int size() {
    return rows.size();
  }
}
