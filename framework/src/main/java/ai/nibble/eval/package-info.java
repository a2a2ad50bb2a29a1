/** Measures what a model writes against what it should have written. */
package ai.nibble.eval;
