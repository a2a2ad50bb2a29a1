/**
 * The forms of public test sets: how a row becomes a question with choices, or one with an answer,
 * and how it is put to a model. Texts follow lm-evaluation-harness (EleutherAI), so that figures
 * compare; where one differs, its class says so.
 */
package ai.nibble.eval.task;
