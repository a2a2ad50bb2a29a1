package ai.nibble.generate;

import java.util.function.IntPredicate;

/** Ends answers by what they say, beside stop tokens. */
@FunctionalInterface
public interface StopRule {
  /** Ends none. */
  StopRule NEVER = () -> token -> false;

  /** For one answer: it is told each token, in order, and says whether the answer ends with it. */
  IntPredicate begin();
}
