package ai.nibble.optim;

import ai.nibble.nn.Parameter;
import ai.nibble.nn.ParameterSet;
import java.nio.FloatBuffer;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * An optimizer over parameters on several devices: one of its kind for each device's part. Their
 * gradients have one norm, the parts' sums of squares added in the parts' order, and are clipped by
 * it together. What is saved is as of parameters on one device.
 */
final class SplitOptimizer implements Optimizer {
  private final ParameterSet parameters;
  private final List<Optimizer> parts = new ArrayList<>();

  /**
   * @param ranges of the whole, each parameter in one of them
   */
  SplitOptimizer(OptimizerConfig config, ParameterSet parameters, List<ParameterRange> ranges) {
    this.parameters = parameters;
    for (ParameterSet part : parameters.parts()) {
      parts.add(config.onOneDevice(part, ofPart(part, ranges)));
    }
  }

  /** The ranges of a part: what holds for its parameters in the whole. */
  private List<ParameterRange> ofPart(ParameterSet part, List<ParameterRange> ranges) {
    List<ParameterRange> own = new ArrayList<>();
    for (Parameter p : part.parameters()) {
      ParameterRange of = ParameterRange.holding(parameters, p, ranges);
      int begin = Math.toIntExact(part.offset(p.name()));
      int end = begin + Math.toIntExact(p.value().numel());
      own.add(new ParameterRange(begin, end, of.lrMultiplier(), of.weightDecay()));
    }
    return own;
  }

  @Override
  public GradientStep over(ParameterSet of) {
    if (of != parameters) {
      throw new IllegalArgumentException("made for other parameters");
    }
    List<GradientStep> steps = new ArrayList<>();
    for (int i = 0; i < parts.size(); i++) {
      steps.add(parts.get(i).over(parameters.parts().get(i)));
    }
    return new SplitGradientStep(steps);
  }

  @Override
  public OptimizerState state() {
    List<OptimizerState> states = parts.stream().map(Optimizer::state).toList();
    Map<String, FloatBuffer> buffers = new LinkedHashMap<>();
    for (String name : states.get(0).buffers().keySet()) {
      List<FloatBuffer> ofParts = states.stream().map(s -> s.buffers().get(name)).toList();
      buffers.put(name, parameters.joined(ofParts));
    }
    Map<String, FloatBuffer> vectors = new LinkedHashMap<>();
    states.forEach(state -> vectors.putAll(state.vectors()));
    return new OptimizerState(states.get(0).step(), buffers, vectors);
  }

  @Override
  public void restore(OptimizerState saved) {
    state().requireSame(saved);
    for (int i = 0; i < parts.size(); i++) {
      ParameterSet part = parameters.parts().get(i);
      Map<String, FloatBuffer> buffers = new LinkedHashMap<>();
      saved.buffers().forEach((name, all) -> buffers.put(name, parameters.ofPart(part, all)));
      parts.get(i).restore(new OptimizerState(saved.step(), buffers, saved.vectors()));
    }
  }
}
