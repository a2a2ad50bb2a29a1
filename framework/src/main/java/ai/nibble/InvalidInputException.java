package ai.nibble;

import java.nio.file.Path;
import java.util.List;

/**
 * Input that a person can mend: a recipe, a file, a row, a flag.
 *
 * <p>Each problem is one complete line that names the place (file, key, tensor, row), what was
 * seen, what was expected and what to do. The command line prints the problems as they stand,
 * without a stack trace, and exits with 2.
 */
public final class InvalidInputException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  private final transient List<String> problems;

  /**
   * @param problem one line
   */
  public InvalidInputException(String problem) {
    this(List.of(problem));
  }

  /**
   * @param problem one line
   * @param cause what raised it, shown only with {@code --debug}
   */
  public InvalidInputException(String problem, Throwable cause) {
    super(problem, cause);
    this.problems = List.of(problem);
  }

  /**
   * @param problems at least one line, in the order to show them
   */
  public InvalidInputException(List<String> problems) {
    super(String.join(System.lineSeparator(), problems));
    if (problems.isEmpty()) {
      throw new IllegalArgumentException("an InvalidInputException needs at least one problem");
    }
    this.problems = List.copyOf(problems);
  }

  /**
   * The same problems, each with its place before it where the line does not begin with that: who
   * checks a value seldom knows its file.
   *
   * @param place a file or directory
   */
  public InvalidInputException at(Path place) {
    String named = place.toString();
    List<String> lines =
        problems.stream()
            .map(problem -> problem.startsWith(named) ? problem : named + ": " + problem)
            .toList();
    InvalidInputException placed = new InvalidInputException(lines);
    placed.initCause(this);
    return placed;
  }

  /** All problems found, one line each. */
  public List<String> problems() {
    return problems;
  }
}
