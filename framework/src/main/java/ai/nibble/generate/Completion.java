package ai.nibble.generate;

/**
 * What a model wrote after a prompt.
 *
 * @param tokens without the prompt and without the stop token, but with those that spell a stop
 *     string; may be empty
 * @param finishReason null while there may be more
 */
public record Completion(int[] tokens, FinishReason finishReason) {}
