package ai.nibble.generate;

import ai.nibble.nn.KvCache;
import java.nio.FloatBuffer;
import java.util.function.IntPredicate;

/** A sequence that is being generated: its cache, its tokens so far and what is due next. */
final class ActiveSequence implements AutoCloseable {
  private final TokenHistory history;
  private final KvCache cache;
  private final boolean ownsCache;
  private final GenerationSettings settings;
  private final IntPredicate stopRule;
  private final int limit;
  private volatile boolean cancelled;
  private FinishReason finished;

  /**
   * @param history the prompt
   * @param cache of the prompt's first tokens, perhaps none; has room for prompt and answer
   * @param ownsCache whether the cache is closed when the sequence is finished
   * @param limit most new tokens
   */
  ActiveSequence(
      TokenHistory history,
      KvCache cache,
      boolean ownsCache,
      GenerationSettings settings,
      int limit) {
    this.history = history;
    this.cache = cache;
    this.ownsCache = ownsCache;
    this.settings = settings;
    this.stopRule = settings.stopRule().begin();
    this.limit = limit;
  }

  TokenHistory history() {
    return history;
  }

  KvCache cache() {
    return cache;
  }

  /** How many tokens are not in the cache yet: of the prompt, later the last one. */
  int pending() {
    return history.length() - cache.length();
  }

  /** Tokens to compute next, at most so many. */
  int[] due(int most) {
    int begin = cache.length();
    return history.range(begin, Math.min(history.length(), begin + most));
  }

  /** Picks the token after those so far and takes it in. */
  void accept(FloatBuffer logits) {
    int token = settings.sampler().pick(logits, history);
    if (settings.stopTokens().contains(token)) {
      finish(FinishReason.STOP);
      return;
    }
    history.add(token);
    if (stopRule.test(token)) {
      finish(FinishReason.STOP);
    } else if (history.position() == limit) {
      finish(limit == settings.maxNewTokens() ? FinishReason.LENGTH : FinishReason.CONTEXT);
    }
  }

  /** Ends the sequence before its next token; from any thread. */
  void cancel() {
    cancelled = true;
  }

  /** Whether it was cancelled; it is finished then. */
  boolean finishIfCancelled() {
    if (cancelled) {
      finish(FinishReason.CANCELLED);
    }
    return cancelled;
  }

  /** Ends the sequence and gives its cache back; the first reason stays. */
  void finish(FinishReason reason) {
    if (finished == null) {
      finished = reason;
      if (ownsCache) {
        cache.close();
      }
    }
  }

  boolean isFinished() {
    return finished != null;
  }

  Completion completion() {
    return new Completion(history.range(history.promptLength(), history.length()), finished);
  }

  @Override
  public void close() {
    finish(FinishReason.CANCELLED);
  }
}
