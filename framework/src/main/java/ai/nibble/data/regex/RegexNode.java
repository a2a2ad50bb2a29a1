package ai.nibble.data.regex;

import java.util.List;

/** A part of an expression. */
sealed interface RegexNode {
  /** The fewest characters that it matches. */
  int minLength();

  /**
   * Exactly one character, of a class.
   *
   * @param source as it is written
   * @param caseless whether its case is ignored; a character then stands for others, and for pairs
   */
  record Letter(String source, Letters letters, boolean caseless) implements RegexNode {
    @Override
    public int minLength() {
      return 1;
    }
  }

  /** A place between characters: an end, a border of a word. */
  record Place(String source) implements RegexNode {
    @Override
    public int minLength() {
      return 0;
    }
  }

  /** One after another. */
  record Sequence(List<RegexNode> parts) implements RegexNode {
    @Override
    public int minLength() {
      long sum = parts.stream().mapToLong(RegexNode::minLength).sum();
      return (int) Math.min(sum, Integer.MAX_VALUE);
    }
  }

  /** The first that leads to a match. */
  record Choice(List<RegexNode> branches) implements RegexNode {
    @Override
    public int minLength() {
      return branches.stream().mapToInt(RegexNode::minLength).min().orElse(0);
    }
  }

  /**
   * A repetition.
   *
   * @param max {@link Integer#MAX_VALUE} where there is no end
   * @param possessive whether what it took is never given back
   */
  record Repeat(RegexNode body, int min, int max, boolean possessive) implements RegexNode {
    @Override
    public int minLength() {
      return (int) Math.min((long) min * body.minLength(), Integer.MAX_VALUE);
    }

    boolean isUnbounded() {
      return max == Integer.MAX_VALUE;
    }
  }

  /** A group that is never entered again once it matched. */
  record Atomic(RegexNode body) implements RegexNode {
    @Override
    public int minLength() {
      return body.minLength();
    }
  }

  /** What must, or must not, stand here. */
  record Look(RegexNode body, boolean negative) implements RegexNode {
    @Override
    public int minLength() {
      return 0;
    }
  }
}
