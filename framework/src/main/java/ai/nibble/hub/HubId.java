package ai.nibble.hub;

import ai.nibble.InvalidInputException;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * A model on the hub: {@code ORG/NAME}, {@code ORG/NAME/FILE.gguf} for one of several GGUF files,
 * either with {@code @REVISION} behind it.
 *
 * @param repository {@code ORG/NAME}
 * @param file the GGUF file to use, by its path in the repository
 * @param revision a branch, a tag or a commit; empty: {@code main}
 */
public record HubId(String repository, Optional<String> file, Optional<String> revision) {
  private static final String MAIN = "main";

  private static final Pattern TEXT =
      Pattern.compile(
          "(?<repository>[A-Za-z0-9][\\w.-]{0,95}/[A-Za-z0-9][\\w.-]{0,95})"
              + "(?:/(?<file>[^@]+\\.gguf))?(?:@(?<revision>[^@\\s]+))?");

  /** Git allows more; nothing of these is a path that leads elsewhere. */
  private static final Pattern REVISION = Pattern.compile("[\\w][\\w./+-]{0,199}");

  private static final Pattern COMMIT = Pattern.compile("[0-9a-f]{40}");

  public HubId {
    revision.ifPresent(HubId::requireRevision);
    file.ifPresent(name -> RepoPath.require(repository, name));
  }

  /**
   * Reads an id.
   *
   * @return empty where the text has another form
   * @throws InvalidInputException where it has the form but no such revision or file can be
   */
  public static Optional<HubId> parse(String text) {
    Matcher matcher = TEXT.matcher(text);
    if (!matcher.matches()) {
      return Optional.empty();
    }
    String repository = matcher.group("repository");
    boolean name = !repository.contains("--") && !repository.contains("..");
    if (!name || repository.endsWith(".gguf") || repository.endsWith(".git")) {
      return Optional.empty();
    }
    return Optional.of(
        new HubId(
            repository,
            Optional.ofNullable(matcher.group("file")),
            Optional.ofNullable(matcher.group("revision"))));
  }

  /** The same at another revision. */
  public HubId at(String other) {
    return new HubId(repository, file, Optional.of(other));
  }

  /** The same with one of its GGUF files. */
  public HubId withFile(String name) {
    return new HubId(repository, Optional.of(name), revision);
  }

  private static void requireRevision(String revision) {
    if (!REVISION.matcher(revision).matches() || revision.contains("..")) {
      throw new InvalidInputException(
          "revision '" + revision + "', expected a branch, a tag or a commit of 40 digits");
    }
  }

  /** The revision that is asked for. */
  String wanted() {
    return revision.orElse(MAIN);
  }

  /** Whether the text is a whole commit. */
  static boolean isCommit(String text) {
    return COMMIT.matcher(text).matches();
  }

  /** {@code ORG/NAME/FILE.gguf@REVISION}. */
  @Override
  public String toString() {
    return repository + file.map(f -> "/" + f).orElse("") + revision.map(r -> "@" + r).orElse("");
  }
}
