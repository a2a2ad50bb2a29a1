/**
 * Decoder models: their {@link ai.nibble.model.Architecture}s and configuration, where their
 * weights come from, how they compute, and what of them can be trained ({@link
 * ai.nibble.model.Trainable}): adapters, or {@link ai.nibble.model.AllWeights}.
 *
 * <p>All weights are trained like this; {@code RandomWeights.of(directory, seed, notices)} in place
 * of the opened source starts from scratch:
 *
 * <pre>{@code
 * try (CausalLm model = CausalLm.load(base, LoadOptions.trained(DType.FLOAT32))) {
 *   AllWeights all = new AllWeights(model);
 *   AdamW adamW =
 *       new AdamW(config, ParameterRange.decayingMatrices(all.parameters(), config.weightDecay()));
 *   TrainStep step = new TrainStep(model, all, new SupervisedFineTuning(), adamW, 1, Checkpointing.NONE);
 *   step.run(batches, 1e-3, 0);
 *   all.save(directory, base.toString());
 * }
 * }</pre>
 */
package ai.nibble.model;
