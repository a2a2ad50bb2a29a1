package ai.nibble.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.Shared;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The scripts of {@code bench/}, with a Java, a Maven and a Python that measure nothing. */
final class BenchScriptsTest {
  private static final String PYTHON =
      """
      #!/bin/bash
      echo 'a warning' >&2
      case " $* " in
        *peer_train*) echo 'step 0'; echo 'checkpointing: 50.0 tokens/s (step 1 s), peak resident 800 MiB' ;;
        *) echo 'none: 50.0 tokens/s, load 1.0 s'; echo 'resident 800' ;;
      esac
      """;

  @TempDir Path temp;
  private Path root;

  private record Ran(int code, String text) {}

  @BeforeEach
  void makeAProject() throws IOException {
    root = Files.createDirectories(temp.resolve("project"));
    Files.createDirectories(root.resolve("bench"));
    Files.createDirectories(temp.resolve("model"));
    for (String script : List.of("train-speed", "decode-speed", "memory")) {
      Path copy = root.resolve("bench").resolve(script);
      Files.copy(Shared.root().resolve("bench").resolve(script), copy);
      copy.toFile().setExecutable(true);
    }
    script("bin/mvn", "#!/bin/bash\n");
    script("bin/java", "#!/bin/bash\necho 'the Java of the PATH ran' >&2\nexit 1\n");
    script(
        "jdk/bin/java",
        "#!/bin/bash\necho 'nibble: 100.0 tokens/s (first run 9.0), peak resident 200 MiB'\n");
    script("python", PYTHON);
    for (String peer : List.of("peer_train.py", "peer_decode.py")) {
      script("project/bench/" + peer, "");
    }
  }

  private Path script(String name, String text) throws IOException {
    Path file = temp.resolve(name);
    Files.createDirectories(file.getParent());
    Files.writeString(file, text);
    file.toFile().setExecutable(true);
    return file;
  }

  private Ran run(String script) throws IOException, InterruptedException {
    List<String> command = new ArrayList<>(List.of(root.resolve("bench/" + script).toString()));
    command.addAll(List.of("--model", "m", "--python", temp.resolve("python").toString()));
    command.addAll(List.of("--peer-model", temp.resolve("model").toString()));
    return ran(command.toArray(String[]::new));
  }

  private Ran ran(String... command) throws IOException, InterruptedException {
    ProcessBuilder builder = new ProcessBuilder(command).directory(temp.toFile());
    builder.environment().put("JAVA_HOME", temp.resolve("jdk").toString());
    builder.environment().put("PATH", temp.resolve("bin") + ":/usr/bin:/bin");
    Process process = builder.redirectErrorStream(true).start();
    String text = new String(process.getInputStream().readAllBytes());
    assertTrue(process.waitFor(30, TimeUnit.SECONDS));
    return new Ran(process.exitValue(), text);
  }

  @ParameterizedTest
  @ValueSource(strings = {"train-speed", "decode-speed"})
  void bothStacksStandInOneTable(String script) throws Exception {
    Ran ran = run(script);
    assertEquals(0, ran.code, ran.text);
    assertTrue(ran.text.contains("50"), ran.text);
    assertTrue(ran.text.contains("| 2.00x | 4.0x less |"), ran.text);
    assertFalse(ran.text.contains("a warning"), ran.text);
  }

  @ParameterizedTest
  @ValueSource(strings = {"train-speed", "decode-speed"})
  void whatPythonSaidIsShownWhereItFails(String script) throws Exception {
    script("python", "#!/bin/bash\necho 'No module named torch' >&2\nexit 1\n");
    Ran ran = run(script);
    assertEquals(1, ran.code);
    assertTrue(ran.text.contains("bench/" + script + ": the Python stack failed"), ran.text);
    assertTrue(ran.text.contains("No module named torch"), ran.text);
  }

  @ParameterizedTest
  @ValueSource(strings = {"train-speed", "decode-speed"})
  void whatPythonNeedsIsMissedBeforeAnythingRuns(String script) throws Exception {
    String peer = script.replace("-speed", "");
    Files.delete(temp.resolve("project/bench/peer_" + peer + ".py"));
    script("bin/mvn", "#!/bin/bash\necho built\n");
    Ran ran = run(script);
    assertEquals(1, ran.code);
    assertTrue(ran.text.contains("peer_" + peer + ".py', which --python runs"), ran.text);
    assertFalse(ran.text.contains("built"), ran.text);
  }

  @ParameterizedTest
  @ValueSource(strings = {"train-speed", "decode-speed"})
  void aRunWithoutFiguresIsNoRow(String script) throws Exception {
    script("python", "#!/bin/bash\necho 'done'\n");
    Ran ran = run(script);
    assertEquals(1, ran.code);
    assertTrue(ran.text.contains("'done', which has no figures"), ran.text);
  }

  @Test
  void memoryIsATableOfWhatWasPlannedAndWhatWasTaken() throws Exception {
    script(
        "project/nibble",
        "#!/bin/bash\necho 'memory: 90 MiB planned, 100 MiB resident at most'\necho \"$@\" >> "
            + temp
            + "/arguments\n");
    String rows = Files.writeString(temp.resolve("gsm8k.jsonl"), "{}\n").toString();
    Ran ran =
        ran(root.resolve("bench/memory").toString(), "--model", temp + "/model", "--gsm8k", rows);
    assertEquals(0, ran.code, ran.text);
    assertTrue(ran.text.contains("\n| 2 x 512, block | 90 | 100 | -10 % |\n"), ran.text);
    assertEquals(9, ran.text.lines().count(), ran.text);
    String first = Files.readAllLines(temp.resolve("arguments")).get(0);
    assertTrue(first.endsWith(" micro_batch_size=2 --set gradient_checkpointing=none"), first);
    Ran without = ran(root.resolve("bench/memory").toString(), "--model", temp + "/none");
    assertEquals(1, without.code, without.text);
    assertTrue(without.text.startsWith("bench/memory: no model '"), without.text);
  }
}
