/**
 * Adapters into weights and back: merging, taking out again, and extracting an adapter from the
 * difference of two models.
 *
 * <p>Every step is a view of a {@link ai.nibble.model.WeightSource}: the base as training held it,
 * that with the adapters' updates, those written to shards. Nothing holds more than one tensor; the
 * proof at the end runs both functions layer by layer and holds one layer.
 */
package ai.nibble.export.merge;
