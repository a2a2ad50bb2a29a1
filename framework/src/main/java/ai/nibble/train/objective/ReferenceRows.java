package ai.nibble.train.objective;

import ai.nibble.data.Batch;
import ai.nibble.data.Example;
import ai.nibble.data.Examples;
import ai.nibble.model.CausalLm;
import java.util.AbstractList;
import java.util.List;

/**
 * Rows that know what a model thought of their answers before it was trained, so that training
 * computes no reference. Each row is asked for by itself, so its number depends on nothing else:
 * not on the order of the rows, nor on which run asks.
 */
public final class ReferenceRows extends AbstractList<Example> implements Examples {
  private final List<Example> rows;
  private final double[][] reference;

  /**
   * Computes the reference of every row.
   *
   * @param model as it is before training, an adapter that has learned nothing on it or none
   * @param eachRow called before each row; what it throws ends the work
   */
  public ReferenceRows(CausalLm model, List<Example> rows, Runnable eachRow) {
    this.rows = rows;
    this.reference = new double[rows.size()][];
    for (int i = 0; i < reference.length; i++) {
      eachRow.run();
      reference[i] = Reference.logProbsOf(model, Batch.of(List.of(rows.get(i))));
    }
  }

  @Override
  public Example get(int index) {
    return rows.get(index).withReference(reference[index]);
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
