package ai.nibble.generate;

import static ai.nibble.SplitMix64.GOLDEN_GAMMA;
import static ai.nibble.SplitMix64.mix;

import java.nio.FloatBuffer;

/** Penalties, then the most likely token or one that is drawn: as {@link SamplingConfig} says. */
final class ConfiguredSampler implements Sampler {
  private final SamplingConfig config;

  ConfiguredSampler(SamplingConfig config) {
    this.config = config;
  }

  @Override
  public int pick(FloatBuffer logits, TokenHistory history) {
    float[] scores = new float[logits.limit()];
    logits.get(0, scores);
    if (config.hasPenalties()) {
      new Penalties(config).apply(scores, history);
    }
    if (!config.draws()) {
      return GREEDY.pick(FloatBuffer.wrap(scores), history);
    }
    return candidates(scores).draw(uniform(config.seed(), history));
  }

  /** What may be drawn. */
  Candidates candidates(float[] scores) {
    Candidates candidates = Candidates.of(scores, config.temperature());
    if (config.topK() > 0) {
      candidates.topK(config.topK());
    }
    if (config.topP() < 1) {
      candidates.topP(config.topP());
    }
    if (config.minP() > 0) {
      candidates.minP(config.minP());
    }
    if (config.typicalP() < 1) {
      candidates.typicalP(config.typicalP());
    }
    return candidates;
  }

  /** A number in [0, 1) by seed, sequence and position: no state, so batches change nothing. */
  static double uniform(long seed, TokenHistory history) {
    long sequence = mix(mix(seed) + GOLDEN_GAMMA * (history.sequence() + 1L));
    long bits = mix(sequence + GOLDEN_GAMMA * (history.position() + 1L));
    return (bits >>> 11) * 0x1p-53;
  }
}
