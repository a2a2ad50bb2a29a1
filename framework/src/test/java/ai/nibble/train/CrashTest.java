package ai.nibble.train;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.Directories;
import ai.nibble.WholeDirectory;
import ai.nibble.checkpoint.CheckpointFolder;
import ai.nibble.checkpoint.SavedCheckpoint;
import ai.nibble.fault.Disk;
import ai.nibble.fault.Disk.Change;
import ai.nibble.lora.AdapterStore;
import ai.nibble.train.log.TrainListener;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Runs that end at some change to the disk that they make, and go on. {@code CrashedSaveTest} ends
 * at each of a checkpoint's; {@code -Dnibble.crashes=N} ends at so many of a whole run.
 */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class CrashTest {
  /** Every step is evaluated and saved, and one is kept besides the best: each save removes one. */
  private static final TrainSettings EVERY_STEP =
      TinyRun.settings(4, 1, 1, 1).with(new EndRules(true, 0, 0), WatchdogSettings.PLAIN);

  private static final int CRASHES = Integer.getInteger("nibble.crashes", 8);

  private TinyRun run;
  private float[] expected;
  private byte[] result;
  private int changes;

  @BeforeAll
  void trainWithoutACrash(@TempDir Path shared) throws IOException {
    run = new TinyRun(shared.resolve("base"), 4).with(EVERY_STEP);
    Disk disk = new Disk(Disk.Fault.NONE);
    expected = run.run(disk.path(shared.resolve("out")), Optional.empty()).values();
    result = weights(shared.resolve("out"));
    changes = disk.changes();
    assertTrue(disk.changes(Change.WRITE) > 4 * 5, disk.log().toString());
    assertTrue(disk.changes(Change.FORCE) > 4 * 10, disk.log().toString());
    assertTrue(disk.changes(Change.MOVE) > 4 * 6, disk.log().toString());
    assertTrue(disk.changes(Change.DELETE) > 5, disk.log().toString());
  }

  @AfterAll
  void close() {
    run.close();
  }

  private static byte[] weights(Path output) throws IOException {
    return Files.readAllBytes(output.resolve(AdapterStore.WEIGHTS));
  }

  private static Set<String> listing(Path output) throws IOException {
    try (Stream<Path> entries = Files.list(output)) {
      return entries.map(p -> p.getFileName().toString()).collect(Collectors.toSet());
    }
  }

  /** Remembers the step of the last checkpoint that was said to be whole. */
  private static final class Saves implements TrainListener {
    private int announced;

    @Override
    public void saved(Path path) {
      String name = path.getFileName().toString();
      announced = name.startsWith("checkpoint-") ? Integer.parseInt(name.substring(11)) : announced;
    }
  }

  private Optional<SavedCheckpoint> newest(Path output) {
    return CheckpointFolder.newest(
        output,
        line -> {
          throw new AssertionError(line);
        });
  }

  @Test
  void killedAtAChangeItEndsWithTheSameBits(@TempDir Path temp) throws IOException {
    int crashes = Math.min(CRASHES, changes);
    for (int n = 0; n < crashes; n++) {
      // the last ones are those of the result
      int k = changes - (int) ((long) n * changes / crashes);
      Path output = temp.resolve("out");
      Disk disk = Disk.killedAt(k);
      Saves saves = new Saves();
      assertThrows(
          Disk.Killed.class, () -> run.run(disk.path(output), Optional.empty(), saves), "" + k);
      if (n % 2 == 1) {
        disk.cutPower();
      }
      String at = "killed at " + disk.log().get(k - 1);
      if (Files.exists(output.resolve(AdapterStore.WEIGHTS))) {
        assertArrayEquals(result, weights(output), at);
      }
      Optional<SavedCheckpoint> from = newest(output);
      int step = from.map(s -> s.state().step()).orElse(0);
      assertTrue(step >= saves.announced, at + ": the newest is of step " + step);
      assertArrayEquals(expected, run.run(output, from).values(), at);
      assertArrayEquals(result, weights(output), at);
      assertFalse(
          listing(output).stream()
              .anyMatch(name -> name.startsWith(".") && name.contains("-check")),
          at + ": " + listing(output));
      WholeDirectory.delete(output);
    }
  }

  @Test
  void aDiskThatFailsEndsTheRunWithItsCauseAndTheCheckpointBefore(@TempDir Path temp)
      throws IOException {
    Path output = temp.resolve("out");
    Saves saves = new Saves();
    Disk full =
        new Disk(
            (number, change, path) -> {
              if (saves.announced == 1 && change == Change.FORCE) {
                throw new IOException("No space left on device");
              }
            });
    TrainingStoppedException e =
        assertThrows(
            TrainingStoppedException.class,
            () -> run.run(full.path(output), Optional.empty(), saves));
    String checkpoint = output.resolve("checkpoint-2").toString();
    assertTrue(
        e.getMessage().startsWith(checkpoint + ": the checkpoint could not be written: "),
        e.getMessage());
    assertTrue(
        e.getMessage().contains("No space left on device; what was trained is in "),
        e.getMessage());
    assertTrue(
        e.getMessage()
            .endsWith("; resume_from_checkpoint goes on from " + output.resolve("checkpoint-1")),
        e.getMessage());
    delete(elsewhere(e));
    assertEquals(Set.of("checkpoint-1"), listing(output));
    assertArrayEquals(expected, run.run(output, newest(output)).values());
  }

  /** A disk that is full from the result on, for so many syncs. */
  private static Disk fullAtTheEnd(Saves saves, int times) {
    AtomicInteger left = new AtomicInteger(times);
    return new Disk(
        (number, change, path) -> {
          boolean after = saves.announced == 4 && change == Change.FORCE;
          if (after && left.getAndDecrement() > 0) {
            throw new IOException("No space left on device");
          }
        });
  }

  @Test
  void aResultThatFindsNoRoomOnceIsWrittenAgain(@TempDir Path temp) throws IOException {
    Path output = temp.resolve("out");
    Saves saves = new Saves();
    run.run(fullAtTheEnd(saves, 1).path(output), Optional.empty(), saves);
    assertArrayEquals(result, weights(output));
    assertEquals(4, newest(output).orElseThrow().state().step());
  }

  @Test
  void aResultThatFindsNoRoomIsKeptElsewhereAndThatIsNamed(@TempDir Path temp) throws IOException {
    Path output = temp.resolve("out");
    Saves saves = new Saves();
    Disk full = fullAtTheEnd(saves, Integer.MAX_VALUE);
    TrainingStoppedException e =
        assertThrows(
            TrainingStoppedException.class,
            () -> run.run(full.path(output), Optional.empty(), saves));
    Matcher message =
        Pattern.compile(
                "(.*): what was trained could not be written: No space left on device; what was"
                    + " trained is in (.*) instead: move it away from there; resume_from_checkpoint goes on from"
                    + " (.*)")
            .matcher(e.getMessage());
    assertTrue(message.matches(), e.getMessage());
    assertEquals(output.toString(), message.group(1));
    assertEquals(output.resolve("checkpoint-4").toString(), message.group(3));
    Path elsewhere = Path.of(message.group(2));
    assertArrayEquals(result, weights(elsewhere));
    delete(elsewhere);
    assertArrayEquals(expected, run.run(output, newest(output)).values());
  }

  @ParameterizedTest
  @ValueSource(ints = {1, 3})
  void anOutputThatIsRemovedOnTheWayIsMadeAnewAndThatIsSaid(int after, @TempDir Path temp)
      throws IOException {
    Path output = temp.resolve("out");
    List<String> notices = new ArrayList<>();
    TrainListener remove =
        new TrainListener() {
          @Override
          public void saved(Path path) {
            if (path.endsWith("checkpoint-" + after)) {
              delete(output);
            }
          }

          @Override
          public void noticed(ai.nibble.train.log.RunNotice notice) {
            notices.add(notice.text());
          }
        };
    run.run(output, Optional.empty(), remove);
    assertTrue(notices.contains(output + " was moved or removed: it is made anew"), "" + notices);
    assertEquals(4, newest(output).orElseThrow().state().step());
    assertTrue(Files.exists(output.resolve(AdapterStore.WEIGHTS)));
  }

  private static void delete(Path directory) {
    try {
      WholeDirectory.delete(directory);
    } catch (IOException e) {
      throw new java.io.UncheckedIOException(e);
    }
  }

  private static Path elsewhere(TrainingStoppedException e) {
    Matcher message =
        Pattern.compile(".*; what was trained is in (.*) instead: move it away from there.*")
            .matcher(e.getMessage());
    assertTrue(message.matches(), e.getMessage());
    return Path.of(message.group(1));
  }

  @Test
  void aResultIsKeptWhenItsDirectoryIsAnotherByThen(@TempDir Path temp) throws IOException {
    Path output = temp.resolve("out");
    TrainListener swap =
        new TrainListener() {
          @Override
          public void saveStarted(int step) {
            if (Files.exists(output.resolve("checkpoint-4"))) {
              Directories.replace(output, temp.resolve("moved"));
            }
          }
        };
    TrainingStoppedException e =
        assertThrows(TrainingStoppedException.class, () -> run.run(output, Optional.empty(), swap));
    assertTrue(e.getMessage().contains("no longer the directory"), e.getMessage());
    assertEquals(Set.of(), listing(output));
    Path elsewhere = elsewhere(e);
    assertArrayEquals(result, weights(elsewhere));
    delete(elsewhere);
  }

  @Test
  void anOutputThatIsAnotherDirectoryByNowIsLeftAlone(@TempDir Path temp) throws IOException {
    Path output = temp.resolve("out");
    TrainListener swap =
        new TrainListener() {
          @Override
          public void saved(Path path) {
            if (path.endsWith("checkpoint-2")) {
              Directories.replace(output, temp.resolve("moved"));
            }
          }
        };
    TrainingStoppedException e =
        assertThrows(TrainingStoppedException.class, () -> run.run(output, Optional.empty(), swap));
    assertTrue(e.getMessage().contains("no longer the directory"), e.getMessage());
    assertEquals(Set.of(), listing(output));
    assertEquals(2, newest(temp.resolve("moved")).orElseThrow().state().step());
    Path elsewhere = elsewhere(e);
    assertTrue(Files.exists(elsewhere.resolve(AdapterStore.WEIGHTS)), "step 3 is not lost");
    delete(elsewhere);
  }
}
