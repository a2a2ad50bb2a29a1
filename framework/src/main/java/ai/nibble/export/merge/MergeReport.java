package ai.nibble.export.merge;

import ai.nibble.tensor.DType;

/**
 * What a merge did.
 *
 * @param changedTensors tensors that the adapters changed
 * @param shards files of weights
 * @param bytes of all weights
 * @param dtype of all weights
 * @param baseWeights what was added to, in words
 * @param proof whether the output is there: it is removed where the proof does not hold
 */
public record MergeReport(
    int changedTensors,
    int shards,
    long bytes,
    DType dtype,
    String baseWeights,
    MergeProof proof) {}
