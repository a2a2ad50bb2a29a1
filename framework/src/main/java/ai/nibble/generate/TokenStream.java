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
  private final int selections;
  private boolean ready;

  TokenStream(Generator generator, ActiveSequence sequence) {
    this.generator = generator;
    this.sequence = sequence;
    this.selections = generator.selections();
  }

  /**
   * Computes the next token, unless that has been done; false where the answer is complete.
   *
   * @throws IllegalStateException if another adapter was selected since the answer began
   */
  @Override
  public boolean hasNext() {
    if (!ready && !sequence.isFinished() && !sequence.finishIfCancelled()) {
      if (selections != generator.selections()) {
        throw new IllegalStateException("another adapter was selected: begin the answer anew");
      }
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
    return sequence.history().token(sequence.history().length() - 1);
  }

  /** Ends the answer before its next token, or between the parts of a long prompt. */
  public void cancel() {
    sequence.cancel();
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
