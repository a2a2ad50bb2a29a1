package ai.nibble.generate;

/**
 * What a model wrote after a prompt.
 *
 * @param tokens without the prompt and without the stop token; may be empty
 */
public record Completion(int[] tokens, FinishReason finishReason) {}
