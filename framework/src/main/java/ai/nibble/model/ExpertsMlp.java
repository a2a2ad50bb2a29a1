package ai.nibble.model;

import ai.nibble.autograd.Earlier;
import ai.nibble.autograd.Variable;
import ai.nibble.model.DecoderForm.ExpertsForm;
import ai.nibble.nn.Experts;
import ai.nibble.nn.LinearGroup;
import ai.nibble.nn.Precision;
import ai.nibble.nn.Router;
import java.util.List;

/**
 * A mixture of experts: each token goes through the few that a router chooses for it.
 *
 * @param router a linear with as many outputs as there are experts; it carries no adapter and is
 *     not quantised
 */
record ExpertsMlp(ExpertsForm form, LinearGroup router, List<GatedMlp> experts) implements Mlp {
  ExpertsMlp {
    experts = List.copyOf(experts);
  }

  @Override
  public List<LinearGroup> groups() {
    return experts.stream().flatMap(expert -> expert.groups().stream()).toList();
  }

  /** What is read is copied anyway. */
  @Override
  public int room(Precision precision) {
    return 0;
  }

  @Override
  public Variable apply(DecoderLayer.Run run, Variable x, boolean read) {
    try (Variable logits = run.plainProduct(router, x)) {
      return Experts.apply(
          run.tape(),
          x,
          logits,
          new Router(form.perToken(), form.sumToOne(), form.rounds()),
          // backward reads what experts give, for the gradient of their weights
          (index, tokens) -> experts.get(index).apply(run, tokens, true),
          step -> read ? step.take(Earlier.NONE) : run.recall().unread(step));
    }
  }

  @Override
  public void close() {
    groups().forEach(LinearGroup::close);
    router.close();
  }
}
