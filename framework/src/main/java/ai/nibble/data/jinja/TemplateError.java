package ai.nibble.data.jinja;

/** What a template may not do; the statement that was running adds its line. */
final class TemplateError extends RuntimeException {
  private static final long serialVersionUID = 1L;

  private int line;

  TemplateError(String message) {
    this(message, 0);
  }

  /**
   * @param line of the template, from 1; 0 where it is not known yet
   */
  TemplateError(String message, int line) {
    super(message, null, false, false);
    this.line = line;
  }

  /** Names the line, unless an inner statement has. */
  TemplateError at(int statementLine) {
    if (line == 0) {
      line = statementLine;
    }
    return this;
  }

  int line() {
    return line;
  }
}
