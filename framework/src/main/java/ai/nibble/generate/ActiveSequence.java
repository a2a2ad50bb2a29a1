package ai.nibble.generate;

import ai.nibble.nn.KvCache;
import java.nio.FloatBuffer;
import java.util.Arrays;

/** A sequence that is being generated: its cache, its tokens so far and what is due next. */
final class ActiveSequence implements AutoCloseable {
  private final int index;
  private final KvCache cache;
  private final GenerationSettings settings;
  private final int limit;
  private int[] due;
  private int[] tokens = new int[16];
  private int count;
  private FinishReason finished;

  /**
   * @param index of the prompt among those given
   * @param cache empty, with room for the prompt and the answer; taken over
   * @param limit most new tokens
   */
  ActiveSequence(int index, int[] prompt, KvCache cache, GenerationSettings settings, int limit) {
    this.index = index;
    this.cache = cache;
    this.settings = settings;
    this.limit = limit;
    this.due = prompt;
  }

  int index() {
    return index;
  }

  KvCache cache() {
    return cache;
  }

  /** Tokens to compute next: the prompt, then the last token. */
  int[] due() {
    return due;
  }

  int count() {
    return count;
  }

  int lastToken() {
    return tokens[count - 1];
  }

  /** Picks the token after those so far and takes it in. */
  void accept(FloatBuffer logits) {
    int token = settings.sampler().pick(logits, index, count);
    if (settings.stopTokens().contains(token)) {
      finish(FinishReason.STOP);
      return;
    }
    if (count == tokens.length) {
      tokens = Arrays.copyOf(tokens, 2 * count);
    }
    tokens[count++] = token;
    due = new int[] {token};
    if (count == limit) {
      finish(limit == settings.maxNewTokens() ? FinishReason.LENGTH : FinishReason.CONTEXT);
    }
  }

  /** Ends the sequence and gives its cache back; the first reason stays. */
  void finish(FinishReason reason) {
    if (finished == null) {
      finished = reason;
      cache.close();
    }
  }

  boolean isFinished() {
    return finished != null;
  }

  Completion completion() {
    return new Completion(Arrays.copyOf(tokens, count), finished);
  }

  @Override
  public void close() {
    finish(FinishReason.CANCELLED);
  }
}
