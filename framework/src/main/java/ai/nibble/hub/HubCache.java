package ai.nibble.hub;

import ai.nibble.FileProblem;
import ai.nibble.InvalidInputException;
import ai.nibble.WholeFile;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Where the files of one model lie in the cache; the package's page shows the shape. */
final class HubCache {
  private static final Pattern SNAPSHOT =
      Pattern.compile("models--(?<owner>[^/]+?)--(?<name>[^/]+)/snapshots/(?<commit>[0-9a-f]{40})");

  private final Path root;
  private final Path folder;

  HubCache(Path root, String repository) {
    this.root = root;
    this.folder = root.resolve("models--" + repository.replace("/", "--"));
  }

  Path blob(HubFile file) {
    return folder.resolve("blobs").resolve(file.sum());
  }

  /** What has come of a blob so far; other tools' have other names. */
  Path partOf(HubFile file) {
    return folder.resolve("blobs").resolve(file.sum() + ".nibble.incomplete");
  }

  Path lock(HubFile file) {
    return root.resolve(".locks")
        .resolve(folder.getFileName())
        .resolve(file.sum() + ".nibble.lock");
  }

  Path snapshot(String commit) {
    return folder.resolve("snapshots").resolve(commit);
  }

  /** The commit that a revision was when it was last asked for. */
  Optional<String> commit(String revision) {
    if (HubId.isCommit(revision)) {
      return Optional.of(revision);
    }
    Path ref = folder.resolve("refs").resolve(revision);
    try {
      String text = Files.isRegularFile(ref) ? Files.readString(ref).strip() : "";
      return HubId.isCommit(text) ? Optional.of(text) : Optional.empty();
    } catch (IOException e) {
      throw new InvalidInputException(ref + ": cannot be read: " + FileProblem.reason(e), e);
    }
  }

  /** Remembers what a revision is now. */
  void remember(String revision, String commit) throws IOException {
    if (HubId.isCommit(revision) || commit(revision).filter(commit::equals).isPresent()) {
      return;
    }
    Path ref = folder.resolve("refs").resolve(revision);
    Files.createDirectories(ref.getParent());
    WholeFile.write(ref, commit.getBytes(StandardCharsets.US_ASCII));
  }

  /**
   * Lets a snapshot have a file, whose blob is there: by a relative link, so that the cache can be
   * moved; where a system has no links the blob itself goes there.
   */
  void link(String commit, HubFile file) throws IOException {
    Path pointer = snapshot(commit).resolve(file.name());
    Files.createDirectories(pointer.getParent());
    Path target = pointer.getParent().relativize(blob(file));
    if (Files.isSymbolicLink(pointer) && !Files.readSymbolicLink(pointer).equals(target)) {
      Files.delete(pointer); // led elsewhere
    }
    try {
      Files.createSymbolicLink(pointer, target);
    } catch (FileAlreadyExistsException e) {
      if (!Files.isRegularFile(pointer)) {
        throw e;
      }
    } catch (UnsupportedOperationException e) {
      WholeFile.move(blob(file), pointer);
    }
  }

  /** Whether a snapshot has a file already, whatever its form. */
  boolean has(String commit, HubFile file) throws IOException {
    Path pointer = snapshot(commit).resolve(file.name());
    boolean own = Files.isRegularFile(pointer, LinkOption.NOFOLLOW_LINKS);
    return own && Files.size(pointer) == file.size() || isWhole(file) && Files.exists(pointer);
  }

  /** Whether a blob is there; under its name it is whole. */
  boolean isWhole(HubFile file) throws IOException {
    return Files.isRegularFile(blob(file)) && Files.size(blob(file)) == file.size();
  }

  /** The model that a path of a cache holds, at its commit; empty for other paths. */
  static Optional<HubId> idOf(String path) {
    String plain = path.replace('\\', '/');
    Matcher matcher = SNAPSHOT.matcher(plain);
    if (!matcher.find()) {
      return Optional.empty();
    }
    String file = plain.substring(matcher.end()).replaceFirst("^/", "");
    return Optional.of(
        new HubId(
            matcher.group("owner") + "/" + matcher.group("name"),
            Optional.of(file).filter(f -> f.endsWith(".gguf")),
            Optional.of(matcher.group("commit"))));
  }
}
