package ai.nibble.train;

import ai.nibble.model.CausalLm;
import ai.nibble.model.Trainable;
import ai.nibble.train.objective.Objective;

/**
 * What one worker computes with: a copy of the model on a device of its own, and what is trained on
 * it.
 *
 * @param trained of the model, or on it
 * @param objective of that model: one that asks a reference asks its own
 */
public record Replica(CausalLm model, Trainable trained, Objective objective) {}
