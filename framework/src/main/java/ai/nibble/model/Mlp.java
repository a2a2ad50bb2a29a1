package ai.nibble.model;

import ai.nibble.autograd.Variable;
import ai.nibble.nn.LinearGroup;
import ai.nibble.nn.Precision;
import java.util.List;

/** What a layer computes behind attention. */
sealed interface Mlp extends AutoCloseable permits GatedMlp, ExpertsMlp {
  /** The groups of linears that may carry adapters. */
  List<LinearGroup> groups();

  /** Columns that it likes to have behind those of its input. */
  int room(Precision precision);

  /**
   * Computes it.
   *
   * @param x {@code [N, hidden]}
   * @param read whether a second run of a checkpoint reads what comes out
   */
  Variable apply(DecoderLayer.Run run, Variable x, boolean read);

  @Override
  void close();
}
