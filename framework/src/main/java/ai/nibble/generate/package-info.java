/**
 * Generation: a model goes on from prompts, token by token, with what it has computed kept in a
 * cache.
 */
package ai.nibble.generate;
