/**
 * Checkpoints that a run can go on from to the same bits: what is trained, the optimizer's memory
 * and where in the data the run was, in a directory that is there whole or not at all.
 *
 * <p>A {@code checkpoint-N} holds what was trained as others read it, {@code
 * training_state.safetensors} (values and moments in float32, by parameter name), {@code
 * trainer_state.json} (the format's version, the place in the data, and under {@code parts} the
 * numbers that each part of the trainer remembers, by its name), and {@code manifest.json}, which
 * lists every other file with its size and SHA-256 and is written last.
 */
package ai.nibble.checkpoint;
