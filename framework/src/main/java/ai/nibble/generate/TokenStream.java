package ai.nibble.generate;

import java.util.NoSuchElementException;
import java.util.PrimitiveIterator;

/**
 * The tokens of one answer, each computed when it is asked for. Close it to give its memory back
 * before the answer is complete; {@link #cancel} may come from any thread, all else from one.
 */
public final class TokenStream implements PrimitiveIterator.OfInt, AutoCloseable {
  private final Generator generator;
  private final ActiveSequence sequence;
  private volatile boolean cancelled;
  private boolean ready;

  TokenStream(Generator generator, ActiveSequence sequence) {
    this.generator = generator;
    this.sequence = sequence;
  }

  /** Computes the next token, unless that has been done; false where the answer is complete. */
  @Override
  public boolean hasNext() {
    if (cancelled && !ready) {
      sequence.finish(FinishReason.CANCELLED);
    }
    if (!ready && !sequence.isFinished()) {
      ready = generator.advance(sequence);
    }
    return ready;
  }

  @Override
  public int nextInt() {
    if (!hasNext()) {
      throw new NoSuchElementException();
    }
    ready = false;
    return sequence.lastToken();
  }

  /** Ends the answer before its next token. */
  public void cancel() {
    cancelled = true;
  }

  /** The answer so far; its reason to finish is null while there may be more. */
  public Completion completion() {
    return sequence.completion();
  }

  @Override
  public void close() {
    sequence.close();
  }
}
