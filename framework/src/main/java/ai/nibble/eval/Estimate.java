package ai.nibble.eval;

/**
 * A number that was measured on items, and how far it may be off.
 *
 * @param standardError NaN where there is a single item
 */
public record Estimate(double value, double standardError) {}
