/**
 * The layers of a decoder as functions with hand-written gradients.
 *
 * <p>Tokens of a micro-batch lie back to back, without padding: a hidden state is {@code [N,
 * hidden]} with N the tokens of all its sequences, and only attention knows where each begins.
 */
package ai.nibble.nn;
