package ai.nibble.optim;

import ai.nibble.nn.ParameterSet;
import java.util.List;

/**
 * The constants of {@link Muon}.
 *
 * @param momentum of the matrices' gradients, 0 to below 1; 0.95 is usual
 * @param adamW for what is no hidden matrix: vectors, embeddings, the output head
 */
public record MuonConfig(double momentum, AdamWConfig adamW) implements OptimizerConfig {
  public MuonConfig {
    OptimizerConfig.checkBeta("momentum", momentum);
  }

  @Override
  public double weightDecay() {
    return adamW.weightDecay();
  }

  @Override
  public double bytesAValue() {
    return Float.BYTES;
  }

  @Override
  public Optimizer onOneDevice(ParameterSet parameters, List<ParameterRange> ranges) {
    return new Muon(this, ParameterSlot.of(parameters, ranges));
  }
}
