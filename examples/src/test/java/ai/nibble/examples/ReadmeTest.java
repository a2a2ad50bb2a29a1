package ai.nibble.examples;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.TreeSet;
import java.util.regex.MatchResult;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/** The front page says what is there. */
class ReadmeTest {
  private static final Path ROOT = TinyBase.root();
  private static final Pattern LINK = Pattern.compile("\\]\\(([^)#]+)[^)]*\\)");
  private static final Pattern JAVA = Pattern.compile("(?s)```java\n(.*?)```");

  private static String readme() throws IOException {
    return Files.readString(ROOT.resolve("README.md"));
  }

  /** The names that the section on the tree lists. */
  private static List<String> tree() throws IOException {
    String text = readme();
    String section = text.substring(text.indexOf("## The tree"));
    return section
        .lines()
        .skip(1)
        .dropWhile(String::isBlank)
        .takeWhile(line -> line.startsWith("    "))
        .map(line -> line.strip().split("\\s+")[0])
        .toList();
  }

  @Test
  void theTreeListsWhatIsThere() throws IOException {
    assertTrue(tree().contains("framework/"), "found " + tree());
    for (String name : tree()) {
      Path path = ROOT.resolve(name);
      assertTrue(Files.exists(path), name + " is not there");
      assertEquals(name.endsWith("/"), Files.isDirectory(path), name);
    }
  }

  /** By git's list: a checkout may hold files of its user's besides. */
  @Test
  void theTreeListsAllThatIsThere() throws Exception {
    assumeTrue(Files.exists(ROOT.resolve(".git")), "skipped: needs a git checkout");
    Process git =
        new ProcessBuilder("git", "ls-files")
            .directory(ROOT.toFile())
            .redirectErrorStream(true)
            .start();
    String listed = new String(git.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    assertEquals(0, git.waitFor(), listed);
    TreeSet<String> top =
        listed
            .lines()
            .map(path -> path.replaceFirst("/.*", "/"))
            .filter(name -> !name.startsWith("."))
            .collect(Collectors.toCollection(TreeSet::new));
    assertEquals(top, new TreeSet<>(tree()));
  }

  @Test
  void everyRelativeLinkLeadsSomewhere() throws IOException {
    List<Path> pages = new ArrayList<>();
    for (String name : tree()) {
      try (Stream<Path> files = Files.walk(ROOT.resolve(name))) {
        files
            .filter(f -> f.toString().endsWith(".md"))
            .filter(f -> !ROOT.relativize(f).toString().contains("target/"))
            .forEach(pages::add);
      }
    }
    assertTrue(pages.contains(ROOT.resolve("README.md")), "found " + pages);
    List<String> links = new ArrayList<>();
    for (Path page : pages) {
      LINK.matcher(Files.readString(page))
          .results()
          .map(match -> match.group(1))
          .filter(target -> !target.matches("[a-z]+:.*"))
          .forEach(
              target -> {
                links.add(target);
                assertTrue(
                    Files.exists(page.resolveSibling(target)), page + " links to " + target);
              });
    }
    assertTrue(links.contains("datasets/README.md"), "found " + links);
  }

  /** The code is lines of an example, one after the other, but for the indentation. */
  @Test
  void itsJavaIsPartOfACompiledExample() throws IOException {
    List<String> blocks =
        JAVA.matcher(readme()).results().map((MatchResult match) -> match.group(1)).toList();
    assertEquals(1, blocks.size());
    for (String block : blocks) {
      assertTrue(block.lines().count() >= 20, "the whole loop: " + block);
      boolean found = false;
      try (Stream<Path> files = Files.walk(ROOT.resolve("examples/src/main/java"))) {
        for (Path file : files.filter(f -> f.toString().endsWith(".java")).toList()) {
          String source = Files.readString(file);
          String indented =
              block.lines().map(line -> "    " + line).collect(Collectors.joining("\n", "", "\n"));
          found |= source.contains(indented);
        }
      }
      assertTrue(found, "no example holds these lines, copy them anew:\n" + block);
    }
  }
}
