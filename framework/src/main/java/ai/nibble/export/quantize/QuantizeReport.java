package ai.nibble.export.quantize;

/**
 * What was written.
 *
 * @param linears how many were quantised
 * @param kept linears that stay plain
 * @param shards files of weights
 * @param bytes of them
 */
public record QuantizeReport(int linears, int kept, int shards, long bytes) {}
