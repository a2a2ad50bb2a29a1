package ai.nibble.data;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** In a process of its own: the library ends it, uncatchably, where a check is missing. */
class HostileTokenizerProcessTest {
  @TempDir Path temp;

  @ParameterizedTest
  @ValueSource(longs = {46, 47})
  void noTokenizerEndsTheProcess(long seed) throws Exception {
    Path java = Path.of(System.getProperty("java.home"), "bin", "java");
    Path log = temp.resolve("log");
    Process process =
        new ProcessBuilder(
                java.toString(),
                "-Xmx512m",
                "-XX:+UseSerialGC",
                "-cp",
                System.getProperty("java.class.path"),
                HostileTokenizers.class.getName(),
                temp.toString(),
                Long.toString(seed),
                System.getProperty("nibble.hostile", "300"))
            .redirectErrorStream(true)
            .redirectOutput(log.toFile())
            .start();
    boolean ended = process.waitFor(170, TimeUnit.SECONDS);
    process.destroyForcibly().waitFor();
    String said = Files.readString(log);
    String last = Files.readString(temp.resolve("tokenizer.json"));
    assertTrue(ended, () -> "still at work with " + last);
    assertEquals(0, process.exitValue(), () -> said + "\nwith " + last);
    Matcher counts = Pattern.compile("(\\d+) taken, (\\d+) refused").matcher(said);
    assertTrue(counts.find(), said);
    List<Integer> found =
        List.of(Integer.parseInt(counts.group(1)), Integer.parseInt(counts.group(2)));
    assertTrue(found.get(0) > 20 && found.get(1) > 100, said);
  }
}
