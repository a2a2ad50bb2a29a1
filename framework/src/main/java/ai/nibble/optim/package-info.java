/**
 * Optimizers, learning-rate schedules and what lies between gradients and the step: their norm,
 * clipping, and a summation whose bits do not depend on who computed which micro-batch.
 *
 * <p>All trainable values lie in one flat float32 buffer, their gradients in a second of the same
 * layout; every operation here is over the whole of such buffers, {@code [0, limit)}, whatever
 * their position. Work is cut into ranges by length alone, so results do not depend on the number
 * of threads.
 */
package ai.nibble.optim;
