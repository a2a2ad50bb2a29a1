/**
 * The layers of a decoder as functions with hand-written gradients.
 *
 * <p>Tokens of a micro-batch lie back to back, without padding: a hidden state is {@code [N,
 * hidden]} with N the tokens of all its sequences, and only attention knows where each begins.
 *
 * <p>A weight is frozen, or it is a view of a {@link ai.nibble.nn.Parameter}, to whose gradient the
 * backward of every layer that uses it adds: a tied embedding gets its part from the head and its
 * part from the lookup. Trained values are float32; matrices are rounded to the compute dtype each
 * time they are used, vectors (norms, biases) are used as they are. What frozen weights cost does
 * not change: nothing is saved or computed for a gradient that nobody takes.
 */
package ai.nibble.nn;
