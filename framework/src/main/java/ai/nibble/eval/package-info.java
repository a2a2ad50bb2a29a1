/**
 * Measures models: how well they predict text and choices ({@link ai.nibble.eval.Evaluation}), and
 * what they write against what they should have written.
 */
package ai.nibble.eval;
