package ai.nibble.checkpoint;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.WholeDirectory;
import ai.nibble.WholeFile;
import ai.nibble.fault.Disk;
import ai.nibble.fault.Disk.Change;
import ai.nibble.model.Trainable;
import ai.nibble.nn.ParameterSet;
import ai.nibble.optim.AdamW;
import ai.nibble.optim.AdamWConfig;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.FloatBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * Checkpoints whose writer ends at every single change to the disk that it makes: every file that
 * is created, every write, sync, rename and removal, rotation included.
 */
class CrashedSaveTest {
  private static final int STEPS = 4;

  /** Kept beyond the limit of one, until step 3 is the best. */
  private static final int[] BEST = {0, 1, 1, 3, 3};

  @TempDir Path temp;
  private Path output;
  private final ParameterSet parameters =
      new ParameterSet(Map.of("a", new long[] {2, 3}, "b", new long[] {5}));
  private final AdamW optimizer = new AdamW(AdamWConfig.DEFAULT, 11);

  @BeforeEach
  void nameTheOutput() {
    output = temp.resolve("out");
  }

  @AfterEach
  void close() {
    parameters.close();
  }

  /** Writes its values to a file. */
  private final class Values implements Trainable {
    @Override
    public ParameterSet parameters() {
      return parameters;
    }

    @Override
    public List<String> withoutGradient() {
      return List.of();
    }

    @Override
    public void save(Path directory, String baseModel) throws IOException {
      Files.createDirectories(directory);
      WholeFile.write(directory.resolve("adapter.txt"), List.of(values()).toString());
    }

    @Override
    public void close() {}
  }

  private float[] values() {
    return parameters.values().toFloats();
  }

  /** Values and an optimizer's memory that only a step has. */
  private void set(int step) {
    float[] numbers = new float[11];
    for (int i = 0; i < numbers.length; i++) {
      numbers[i] = step + i / 16f;
    }
    parameters.setValues(FloatBuffer.wrap(numbers));
    optimizer.step(
        FloatBuffer.wrap(new float[11]), FloatBuffer.wrap(numbers), 1e-3); // moments move on
  }

  private static TrainerState state(int step) {
    PartState part = new PartState(Map.of("numbers", List.of(step / 3.0, 1e-300)));
    return new TrainerState(
        "run", step, 0, step, "rows, shuffled", step, Map.of("seed", "1"), Map.of("p", part));
  }

  /** Saves all steps; {@code done} is the last that was said to be whole. */
  private void saveAll(Disk disk, AtomicInteger done) {
    CheckpointFolder folder = new CheckpointFolder(disk.path(output), "base", 1);
    folder.claim();
    for (int step = 1; step <= STEPS; step++) {
      set(step);
      folder.save(new Values(), optimizer, state(step), BEST[step]);
      done.set(step);
    }
  }

  private Optional<SavedCheckpoint> newest(Path directory) {
    return CheckpointFolder.newest(
        directory,
        line -> {
          throw new AssertionError(line);
        });
  }

  private Set<String> listing() throws IOException {
    try (Stream<Path> entries = Files.list(output)) {
      return entries.map(p -> p.getFileName().toString()).collect(Collectors.toSet());
    }
  }

  private void requireWhole(SavedCheckpoint saved, String at) {
    assertEquals(state(saved.state().step()), saved.state(), at);
    set(99);
    saved.restore(parameters, optimizer);
    float[] restored = values();
    set(saved.state().step());
    assertArrayEquals(values(), restored, at);
  }

  @ParameterizedTest
  @CsvSource({"false", "true"})
  void killedAtAnyChangeTheNewestWholeOneIsThere(boolean powerCut) throws IOException {
    Disk whole = new Disk(Disk.Fault.NONE);
    saveAll(whole, new AtomicInteger());
    assertEquals(Set.of("checkpoint-3", "checkpoint-4"), listing());
    assertTrue(whole.changes() > 100, whole.log().toString());
    for (int k = 1; k <= whole.changes(); k++) {
      WholeDirectory.delete(output);
      Disk disk = Disk.killedAt(k);
      AtomicInteger done = new AtomicInteger();
      assertThrows(Disk.Killed.class, () -> saveAll(disk, done));
      if (powerCut) {
        disk.cutPower();
      }
      String at = "killed at " + disk.log().get(k - 1);
      Optional<SavedCheckpoint> found = newest(output);
      int step = found.map(s -> s.state().step()).orElse(0);
      assertTrue(step == done.get() || step == done.get() + 1, at + ": found " + step);
      found.ifPresent(saved -> requireWhole(saved, at));
      if (BEST[step] > 0) {
        requireWhole(CheckpointFolder.ofStep(output, BEST[step], "run"), at);
      }
      // and whoever goes on clears up
      set(STEPS + 1);
      new CheckpointFolder(output, "base", 1).save(new Values(), optimizer, state(STEPS + 1));
      assertEquals(Set.of("checkpoint-5"), listing(), at);
    }
    System.out.println("ended at each of " + whole.changes() + " changes to the disk");
  }

  /** The control: what is not synced is lost, so the test above sees a sync that is missing. */
  @Test
  void theControlWhatIsNotSyncedDoesNotSurviveAPowerCut() throws IOException {
    Disk disk = new Disk(Disk.Fault.NONE);
    Path file = temp.resolve("file");
    Files.write(disk.path(file), new byte[] {1, 2, 3});
    disk.cutPower();
    assertArrayEquals(new byte[3], Files.readAllBytes(file));
  }

  @ParameterizedTest
  @EnumSource(
      value = Change.class,
      names = {"CREATE", "WRITE", "FORCE", "CLOSE", "MOVE"})
  void aDiskThatFailsLeavesTheOneBeforeAndNothingElse(Change kind) throws IOException {
    int failed = 0;
    boolean more = true;
    for (int nth = 1; more; nth++) {
      WholeDirectory.delete(output);
      set(1);
      new CheckpointFolder(output, "base", 0).save(new Values(), optimizer, state(1));
      set(2);
      CheckpointFolder folder = new CheckpointFolder(failing(kind, nth), "base", 0);
      try {
        folder.save(new Values(), optimizer, state(2));
        more = false; // it has no more changes of this kind
      } catch (UncheckedIOException e) {
        failed++;
        String expected = "checkpoint-2: the checkpoint could not be written: ";
        assertTrue(e.getMessage().contains(expected), e.getMessage());
        assertTrue(e.getMessage().contains("No space left on device"), e.getMessage());
        SavedCheckpoint found = newest(output).orElseThrow();
        // the last sync may fail with all in place
        assertTrue(listing().stream().noneMatch(name -> name.startsWith(".")), "" + listing());
        requireWhole(found, e.getMessage());
      }
    }
    assertTrue(failed > 0);
  }

  private Path failing(Change kind, int nth) {
    AtomicInteger seen = new AtomicInteger();
    Disk disk =
        new Disk(
            (number, change, path) -> {
              if (change == kind && seen.incrementAndGet() == nth) {
                throw new IOException("No space left on device");
              }
            });
    return disk.path(output);
  }

  /** Bits flipped, files cut, bytes zeroed, in every file of a checkpoint, the manifest too. */
  @Test
  void everyOneOfAThousandDamagesIsFoundAndTheOneBeforeIsTaken() throws IOException {
    CheckpointFolder folder = new CheckpointFolder(output, "base", 0);
    for (int step = 1; step <= 2; step++) {
      set(step);
      folder.save(new Values(), optimizer, state(step));
    }
    List<Path> files;
    try (Stream<Path> entries = Files.list(output.resolve("checkpoint-2"))) {
      files = entries.sorted().toList();
    }
    assertEquals(4, files.size());
    Random random = new Random(13);
    int[] damaged = new int[files.size()];
    for (int n = 0; n < 1000; n++) {
      int which = n % files.size();
      Path file = files.get(which);
      byte[] sound = Files.readAllBytes(file);
      byte[] bad = damage(sound, random);
      if (java.util.Arrays.equals(sound, bad)) {
        continue; // zeros where zeros were
      }
      Files.write(file, bad);
      List<String> skipped = new ArrayList<>();
      int step = CheckpointFolder.newest(output, skipped::add).map(s -> s.state().step()).orElse(0);
      assertEquals(1, step, "damage " + n + " of " + file.getFileName());
      assertTrue(skipped.get(0).startsWith("checkpoint-2 is passed over: "), skipped.get(0));
      assertEquals(1, skipped.get(0).lines().count(), skipped.get(0));
      damaged[which]++;
      Files.write(file, sound);
    }
    assertEquals(2, newest(output).orElseThrow().state().step());
    assertTrue(IntStream.of(damaged).allMatch(count -> count > 200), "" + List.of(damaged[0]));
  }

  private static byte[] damage(byte[] sound, Random random) {
    byte[] bad = sound.clone();
    int at = random.nextInt(bad.length);
    switch (random.nextInt(4)) {
      case 0 -> bad[at] ^= (byte) (1 << random.nextInt(8));
      case 1 -> bad = java.util.Arrays.copyOf(bad, at);
      case 2 -> java.util.Arrays.fill(bad, at, Math.min(bad.length, at + 64), (byte) 0);
      default -> bad = java.util.Arrays.copyOf(bad, bad.length + 1 + random.nextInt(64));
    }
    return bad;
  }
}
