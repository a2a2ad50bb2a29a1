package ai.nibble.data;

import ai.nibble.FileProblem;
import ai.nibble.InvalidInputException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.FileSystems;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.PathMatcher;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.regex.PatternSyntaxException;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/**
 * The files that a data set's path stands for: a file itself; those that match a pattern ({@code
 * *}, {@code **}, {@code ?}, {@code [a-z]}, {@code {a,b}}); or in a directory those of a split,
 * under the names that Hugging Face's data sets give them.
 */
public final class DataFiles {
  private static final String KINDS =
      RowFile.KINDS.stream().collect(Collectors.joining("|", "(?i:", ")"));

  /** Files that a pattern may match; more are a mistake, such as one that begins at the root. */
  private static final int MOST = 100_000;

  private DataFiles() {}

  /**
   * Looks for them.
   *
   * @param split which part of a directory; of no effect for a file or a pattern
   * @return at least one, in the order in which they are read: of their names
   * @throws InvalidInputException where there is none, or more than one choice
   */
  public static List<Path> find(Path path, Optional<String> split) {
    if (Files.isDirectory(path)) {
      String name =
          split.orElseThrow(
              () ->
                  new InvalidInputException(
                      shown(path)
                          + " is a directory, expected a file of rows: name one, or a pattern such"
                          + " as '*.jsonl' in it, or add 'split'"));
      return ofSplit(path, name);
    }
    return Files.exists(path) || !isPattern(path) ? List.of(path) : matching(path);
  }

  /** Whether the path is a pattern of files rather than one file. */
  public static boolean isPattern(Path path) {
    return path.toString().chars().anyMatch(c -> "*?[{".indexOf(c) >= 0);
  }

  private static List<Path> matching(Path pattern) {
    Path base = pattern.toAbsolutePath();
    while (isPattern(base)) {
      base = base.getParent();
    }
    PathMatcher matcher = matcher(pattern);
    boolean deep = pattern.toString().contains("**");
    int depth =
        deep ? Integer.MAX_VALUE : pattern.toAbsolutePath().getNameCount() - base.getNameCount();
    List<Path> files = new ArrayList<>();
    if (Files.isDirectory(base)) {
      try (Stream<Path> tree = Files.walk(base, depth)) {
        tree.filter(file -> matcher.matches(file) && !Files.isDirectory(file))
            .limit(MOST + 1L)
            .forEach(files::add);
      } catch (IOException e) {
        throw new InvalidInputException(
            shown(base) + " cannot be read: " + FileProblem.reason(e), e);
      } catch (UncheckedIOException e) {
        throw new InvalidInputException(
            shown(base) + " cannot be read: " + FileProblem.reason(e), e);
      }
    }
    if (files.isEmpty() || files.size() > MOST) {
      String count = files.isEmpty() ? "no file matches " : "more than " + MOST + " files match ";
      throw new InvalidInputException(count + shown(pattern) + ": check the pattern");
    }
    return files.stream().sorted().toList();
  }

  private static PathMatcher matcher(Path pattern) {
    try {
      return FileSystems.getDefault().getPathMatcher("glob:" + pattern.toAbsolutePath());
    } catch (PatternSyntaxException e) {
      throw new InvalidInputException(
          "nothing is at " + shown(pattern) + ", which is no pattern either: " + e.getDescription(),
          e);
    }
  }

  /**
   * A split's files, as {@code train.jsonl}, {@code train-00000-of-00002.parquet}, {@code train/}.
   */
  private static List<Path> ofSplit(Path directory, String split) {
    Map<String, List<Path>> found = new TreeMap<>();
    for (Path folder : List.of(directory, directory.resolve("data"))) {
      for (Path file : entries(folder)) {
        group(file, split).ifPresent(name -> add(found, folder.resolve(name).toString(), file));
      }
      for (Path file : entries(folder.resolve(split))) {
        RowFile.kind(file).ifPresent(kind -> add(found, folder.resolve(split) + "/*" + kind, file));
      }
    }
    if (found.isEmpty()) {
      throw new InvalidInputException(
          "no '"
              + split
              + ".jsonl' in "
              + shown(directory)
              + ", nor another of "
              + RowFile.KINDS
              + ", nor '"
              + split
              + "-00000-of-00001.parquet' and the like: name the file itself");
    }
    if (found.size() > 1) {
      throw new InvalidInputException(
          "split '" + split + "' may be any of " + found.keySet() + ": name the file itself");
    }
    List<Path> files = found.values().iterator().next();
    checkShards(files);
    return files;
  }

  private static void add(Map<String, List<Path>> found, String group, Path file) {
    found.computeIfAbsent(group, name -> new ArrayList<>()).add(file);
  }

  private static List<Path> entries(Path folder) {
    if (!Files.isDirectory(folder)) {
      return List.of();
    }
    try (Stream<Path> entries = Files.list(folder)) {
      return entries.filter(entry -> !Files.isDirectory(entry)).sorted().toList();
    } catch (IOException e) {
      throw new InvalidInputException(
          shown(folder) + " cannot be read: " + FileProblem.reason(e), e);
    }
  }

  private static Pattern shard(String split) {
    // older ones end with a hash of their content
    return Pattern.compile(split + "-(\\d+)-of-(\\d+)(?:-[0-9a-f]+)?(" + KINDS + ")");
  }

  /** The name under which the file stands for the split, alone or with its other shards. */
  private static Optional<String> group(Path file, String split) {
    String name = file.getFileName().toString();
    if (name.matches(Pattern.quote(split) + KINDS)) {
      return Optional.of(name);
    }
    Matcher shard = shard(Pattern.quote(split)).matcher(name);
    return shard.matches()
        ? Optional.of(split + "-*-of-" + shard.group(2) + shard.group(3).toLowerCase(Locale.ROOT))
        : Optional.empty();
  }

  /** Of shards that say how many they are, all must be there. */
  private static void checkShards(List<Path> files) {
    Matcher first = shard(".*").matcher(files.get(0).getFileName().toString());
    if (!first.matches()) {
      return;
    }
    for (int i = 0; i < Math.max(files.size(), Long.parseLong(first.group(2))); i++) {
      Matcher shard =
          shard(".*").matcher(i < files.size() ? files.get(i).getFileName().toString() : "");
      if (!shard.matches() || Long.parseLong(shard.group(1)) != i) {
        throw new InvalidInputException(
            "shard "
                + i
                + " of "
                + Long.parseLong(first.group(2))
                + " is not there, or twice, beside "
                + shown(files.get(0))
                + ": get the missing files, or name those to read with a pattern");
      }
    }
  }

  private static String shown(Path path) {
    return "'" + path + "'";
  }
}
