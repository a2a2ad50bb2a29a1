package ai.nibble.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.Shared;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The script {@code nibble}, with a Java and a Maven that only say how they were called. */
final class LauncherTest {
  private static final String JAVA =
      """
      #!/bin/bash
      if [ "$1" = -version ]; then echo 'openjdk version "%s" 2030-01-01' >&2; exit 0; fi
      if [ "$3" = -version ]; then [ ! -e "$0.without.$2" ]; exit; fi
      echo "pid $$"
      printf '<%%s>\\n' "$@"
      exit 7
      """;

  @TempDir Path temp;
  private Path project;
  private Path jar;

  private record Ran(int code, String text) {}

  @BeforeEach
  void makeAProject() throws IOException {
    project = temp.resolve("a project");
    Path source = project.resolve("framework/src/main/java/A.java");
    Files.createDirectories(source.getParent());
    Files.createDirectories(project.resolve("framework/target/lib"));
    Files.writeString(source, "");
    Files.writeString(project.resolve("pom.xml"), "");
    Files.writeString(project.resolve("framework/pom.xml"), "");
    Files.copy(Shared.root().resolve("nibble"), project.resolve("nibble"));
    project.resolve("nibble").toFile().setExecutable(true);
    jar = project.resolve("framework/target/nibble-framework-1.jar");
    Files.writeString(project.resolve("framework/target/nibble-framework-1-tests.jar"), "");
    java("17.0.1");
    script("bin/mvn", "#!/bin/bash\necho \"mvn $*\"\ntouch '" + jar + "'\n");
  }

  private void java(String version) throws IOException {
    script("jdk/bin/java", JAVA.formatted(version));
  }

  private void script(String name, String text) throws IOException {
    Path file = temp.resolve(name);
    Files.createDirectories(file.getParent());
    Files.writeString(file, text);
    file.toFile().setExecutable(true);
  }

  private void built() throws IOException {
    Files.writeString(jar, "");
    Files.setLastModifiedTime(jar, FileTime.from(Instant.now().plusSeconds(60)));
  }

  private Ran run(Map<String, String> environment, Path script, String... args)
      throws IOException, InterruptedException {
    List<String> command = new ArrayList<>(List.of(script.toString()));
    command.addAll(List.of(args));
    ProcessBuilder builder = new ProcessBuilder(command).directory(temp.toFile());
    builder.environment().remove("NIBBLE_JAVA_OPTS");
    builder.environment().put("JAVA_HOME", temp.resolve("jdk").toString());
    builder.environment().put("PATH", temp.resolve("bin") + ":/usr/bin:/bin");
    builder.environment().putAll(environment);
    Process process = builder.redirectErrorStream(true).start();
    String text = new String(process.getInputStream().readAllBytes());
    assertTrue(process.waitFor(30, TimeUnit.SECONDS));
    return new Ran(process.exitValue(), "real " + process.pid() + "\n" + text);
  }

  @Test
  void theFirstUseBuildsAndALaterOneDoesNot() throws Exception {
    Ran first = run(Map.of(), project.resolve("nibble"));
    assertTrue(first.text.contains("nibble: building"), first.text);
    assertTrue(
        first.text.contains("mvn -q -B -Dfmt.skip -pl framework -DskipTests package"), first.text);
    built();
    assertFalse(run(Map.of(), project.resolve("nibble")).text.contains("mvn"));
  }

  @Test
  void aNewerSourceBuildsAgain() throws Exception {
    built();
    Files.setLastModifiedTime(
        project.resolve("framework/src/main/java/A.java"),
        FileTime.from(Instant.now().plusSeconds(120)));
    assertTrue(run(Map.of(), project.resolve("nibble")).text.contains("nibble: building"));
  }

  @Test
  void argumentsReachTheCommandAsTheyAre() throws Exception {
    built();
    Ran ran = run(Map.of(), project.resolve("nibble"), "train", "a b.yaml", "--set", "x=*", "");
    assertEquals(7, ran.code);
    String[] ends = {"<ai.nibble.cli.Nibble>", "<train>", "<a b.yaml>", "<--set>", "<x=*>", "<>"};
    assertTrue(ran.text.endsWith(String.join("\n", ends) + "\n"), ran.text);
    assertTrue(
        ran.text.contains("<" + jar + ":" + project.resolve("framework/target/lib/*") + ">"));
  }

  @Test
  void theShellBecomesJavaSoThatSignalsReachIt() throws Exception {
    built();
    Ran ran = run(Map.of(), project.resolve("nibble"));
    String pid = ran.text.lines().findFirst().orElseThrow().substring("real ".length());
    assertTrue(ran.text.contains("\npid " + pid + "\n"), ran.text);
  }

  @Test
  void itIsFoundThroughSymbolicLinks() throws Exception {
    built();
    Path one = Files.createSymbolicLink(temp.resolve("bin/one"), Path.of("../a project/nibble"));
    Path two = Files.createSymbolicLink(temp.resolve("two"), one);
    assertEquals(7, run(Map.of(), two).code);
  }

  @Test
  void theEnvironmentHasTheLastWord() throws Exception {
    built();
    Map<String, String> environment = Map.of("NIBBLE_JAVA_OPTS", "-Xmx9g -Dx=y");
    Ran ran = run(environment, project.resolve("nibble"));
    assertTrue(ran.text.indexOf("<-Xmx9g>") > ran.text.indexOf("<-Xmx1g>"), ran.text);
    assertTrue(ran.text.contains("<-Dx=y>"));
  }

  @Test
  void buffersBesideTheHeapAreNotLimitedToItsSize() throws Exception {
    built();
    Ran ran = run(Map.of("NIBBLE_JAVA_OPTS", "-Dlast"), project.resolve("nibble"));
    int cap = ran.text.indexOf("<-XX:MaxDirectMemorySize=64g>");
    assertTrue(cap >= 0 && cap < ran.text.indexOf("<-Dlast>"), ran.text);
  }

  @Test
  void whatGeneratesOrTrainsHasTheVectorApiWhereThisJavaHasIt() throws Exception {
    built();
    String modules = "<--add-modules>\n<jdk.incubator.vector>\n";
    assertTrue(run(Map.of(), project.resolve("nibble"), "generate").text.contains(modules));
    assertTrue(run(Map.of(), project.resolve("nibble"), "train").text.contains(modules));
    assertFalse(run(Map.of(), project.resolve("nibble"), "merge").text.contains(modules));
    Files.writeString(temp.resolve("jdk/bin/java.without.jdk.incubator.vector"), "");
    Ran without = run(Map.of(), project.resolve("nibble"), "generate");
    assertEquals(7, without.code);
    assertFalse(without.text.contains("vector"), without.text);
  }

  @Test
  void javaHearsHowItWasCalled() throws Exception {
    built();
    Path link = Files.createSymbolicLink(temp.resolve("my nibble"), project.resolve("nibble"));
    assertTrue(run(Map.of(), link).text.contains("<-Dnibble.command=" + link + ">"));
  }

  @Test
  void whatIsMissingIsOneLine() throws Exception {
    Ran none = run(Map.of("JAVA_HOME", temp.resolve("gone").toString()), project.resolve("nibble"));
    assertEquals(1, none.code);
    assertTrue(none.text.contains("gone/bin/java': install Java 17"), none.text);
    for (String old : List.of("1.8.0_392", "11.0.2", "16")) {
      java(old);
      Ran ran = run(Map.of(), project.resolve("nibble"));
      assertEquals(1, ran.code);
      String major = old.startsWith("1.") ? "8" : old.split("\\.")[0];
      assertTrue(ran.text.contains("is Java " + major + ": install Java 17"), ran.text);
    }
    java("25");
    Files.delete(temp.resolve("bin/mvn"));
    Path tools = Files.createDirectories(temp.resolve("tools"));
    for (String tool : List.of("bash", "env", "dirname", "readlink", "sed", "head", "find")) {
      Path at = Files.exists(Path.of("/usr/bin/" + tool)) ? Path.of("/usr/bin") : Path.of("/bin");
      Files.createSymbolicLink(tools.resolve(tool), at.resolve(tool));
    }
    Ran unbuilt = run(Map.of("PATH", tools.toString()), project.resolve("nibble"));
    assertEquals(1, unbuilt.code, unbuilt.text);
    assertTrue(unbuilt.text.contains("no 'mvn' on the PATH: install Maven"), unbuilt.text);
  }

  @Test
  void aFailedBuildDoesNotRunWhatIsLeft() throws Exception {
    script("bin/mvn", "#!/bin/bash\necho broken\nexit 1\n");
    Ran ran = run(Map.of(), project.resolve("nibble"));
    assertEquals(1, ran.code);
    assertTrue(ran.text.contains("broken\nnibble: the build failed"), ran.text);
    assertFalse(ran.text.contains("pid"));
  }
}
