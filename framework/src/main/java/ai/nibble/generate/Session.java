package ai.nibble.generate;

import ai.nibble.InvalidInputException;
import ai.nibble.nn.KvCache;

/**
 * Answers one after another to prompts of which each mostly repeats what came before, as in a chat:
 * keys and values of the tokens that a prompt shares with the sequence before, from its first on,
 * are not computed again. One answer at a time; close it before its generator.
 */
public final class Session implements AutoCloseable {
  private final Generator generator;
  private KvCache cache;
  private ActiveSequence last;
  private int selections;
  private int answers;
  private int reused;

  /**
   * @param generator stays the caller's
   */
  public Session(Generator generator) {
    this.generator = generator;
  }

  /**
   * Begins an answer, and cancels the one before if it is not complete. Answers of a session draw
   * different numbers from one seed.
   *
   * @param prompt at least one token: all of the conversation
   * @throws InvalidInputException if the prompt leaves no room in the model's context
   */
  public TokenStream stream(int[] prompt, GenerationSettings settings) {
    int limit = generator.limit(prompt, settings);
    int shared = shared(prompt);
    if (last != null) {
      last.close();
      last = null;
    }
    makeRoom(shared, prompt.length + limit);
    reused = shared;
    selections = generator.selections();
    TokenHistory history = new TokenHistory(answers++, prompt);
    last = new ActiveSequence(history, cache, false, settings, limit);
    return new TokenStream(generator, last);
  }

  /** Tokens that the cache holds and that the prompt begins with; one is left to compute. */
  private int shared(int[] prompt) {
    if (last == null || selections != generator.selections()) {
      return 0; // keys and values are another adapter's
    }
    int most = Math.min(cache.length(), prompt.length - 1);
    int same = 0;
    while (same < most && last.history().token(same) == prompt[same]) {
      same++;
    }
    return same;
  }

  /** Leaves the first tokens in a cache with room for some in all. */
  private void makeRoom(int held, int capacity) {
    if (cache != null && cache.capacity() >= capacity) {
      cache.truncate(held);
      return;
    }
    // twice the room: a conversation that grows is copied a few times only
    long twice = cache == null ? 0 : 2L * cache.capacity();
    long most = Math.min(twice, generator.config().maxPositionEmbeddings());
    KvCache larger = generator.cache((int) Math.max(capacity, most));
    try {
      if (held > 0) {
        larger.copyFrom(cache, held);
      }
    } catch (RuntimeException e) {
      larger.close();
      throw e;
    }
    if (cache != null) {
      cache.close();
    }
    cache = larger;
  }

  /** Tokens of the last prompt that were not computed again. */
  public int reused() {
    return reused;
  }

  /** Gives the memory back; the session may go on, from nothing. */
  public void clear() {
    if (last != null) {
      last.close();
      last = null;
    }
    if (cache != null) {
      cache.close();
      cache = null;
    }
  }

  @Override
  public void close() {
    clear();
  }
}
