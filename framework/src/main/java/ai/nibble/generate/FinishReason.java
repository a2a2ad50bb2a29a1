package ai.nibble.generate;

/** Why an answer ended. */
public enum FinishReason {
  /** The model wrote a stop token, or a {@link StopRule} ended it. */
  STOP,
  /** It has {@code max_new_tokens} tokens. */
  LENGTH,
  /** Prompt and answer fill {@code max_position_embeddings}. */
  CONTEXT,
  /** It was cancelled. */
  CANCELLED
}
