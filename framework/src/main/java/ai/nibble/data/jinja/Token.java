package ai.nibble.data.jinja;

/**
 * A token of a template.
 *
 * @param value text of DATA, name, operator; the unescaped text of a string; Long, BigInteger or
 *     Double of a number
 * @param line from 1
 */
record Token(Kind kind, Object value, int line) {
  enum Kind {
    DATA,
    BLOCK_BEGIN,
    BLOCK_END,
    VARIABLE_BEGIN,
    VARIABLE_END,
    NAME,
    STRING,
    NUMBER,
    OPERATOR,
    EOF
  }

  boolean isName(String name) {
    return kind == Kind.NAME && value.equals(name);
  }

  boolean isOperator(String operator) {
    return kind == Kind.OPERATOR && value.equals(operator);
  }

  String describe() {
    return switch (kind) {
      case DATA -> "text";
      case BLOCK_BEGIN -> "begin of statement block";
      case BLOCK_END -> "end of statement block";
      case VARIABLE_BEGIN -> "begin of print statement";
      case VARIABLE_END -> "end of print statement";
      case EOF -> "end of template";
      default -> "'" + value + "'";
    };
  }
}
