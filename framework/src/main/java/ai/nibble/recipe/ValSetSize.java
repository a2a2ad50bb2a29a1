package ai.nibble.recipe;

/**
 * Rows held back from training for evaluation ({@code val_set_size}).
 *
 * @param value 0: none; below 1: this fraction of the rows; from 1 on: this many rows
 */
public record ValSetSize(double value) {
  /**
   * @throws IllegalArgumentException for a negative value, or one above 1 that is not whole
   */
  public ValSetSize {
    if (!(value >= 0) || (value >= 1 && value != (int) value)) {
      throw new IllegalArgumentException("val_set_size is " + value);
    }
  }

  /** Whether any row is held back. */
  public boolean isSet() {
    return value > 0;
  }

  /**
   * How many of {@code total} rows are held back: a fraction is rounded up, as scikit-learn's and
   * the datasets library's {@code train_test_split} do. May be more than there are.
   */
  public long rows(long total) {
    return value < 1 ? (long) Math.ceil(value * total) : (long) value;
  }

  /** Reads a fraction or a count. */
  record Type() implements ValueType {
    private static final ValueType REAL = new ScalarTypes.Real(Range.parse("[0, 1e9]"));

    @Override
    public Object read(Node node, Reading at) {
      if (!(node instanceof Node.Scalar scalar) || !scalar.kind().isNumber()) {
        at.reject(node, expected());
        return null;
      }
      Double number = (Double) REAL.read(node, at);
      if (number != null && number >= 1 && number != number.intValue()) {
        at.reject(node, expected());
        return null;
      }
      return number == null ? null : new ValSetSize(number);
    }

    @Override
    public Object write(Object value) {
      return YamlWriter.number(((ValSetSize) value).value());
    }

    @Override
    public String expected() {
      return "a fraction below 1 or a whole number of rows";
    }
  }
}
