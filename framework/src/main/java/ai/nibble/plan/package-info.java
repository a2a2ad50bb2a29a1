/**
 * What a run will need of memory, before anything is loaded: from the model's configuration, the
 * headers of its weights and the lengths of the rows. docs/plan.md shows it beside what was
 * measured.
 */
package ai.nibble.plan;
