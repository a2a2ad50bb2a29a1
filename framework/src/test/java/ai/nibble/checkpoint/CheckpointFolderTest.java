package ai.nibble.checkpoint;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.InvalidInputException;
import ai.nibble.model.Trainable;
import ai.nibble.nn.ParameterSet;
import ai.nibble.optim.AdamW;
import ai.nibble.optim.AdamWConfig;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.FloatBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class CheckpointFolderTest {
  private static final List<String> FILES =
      List.of("adapter.bin", "training_state.safetensors", "trainer_state.json", "manifest.json");

  @TempDir Path output;

  private final ParameterSet parameters = new ParameterSet(Map.of("w", new long[] {3}));
  private final AdamW optimizer = new AdamW(AdamWConfig.DEFAULT, 3);

  @AfterEach
  void close() {
    parameters.close();
  }

  /** Writes one file, or fails having written half of it. */
  private final class Tiny implements Trainable {
    private final boolean fails;

    Tiny(boolean fails) {
      this.fails = fails;
    }

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
      Files.writeString(directory.resolve("adapter.bin"), fails ? "ha" : "half");
      if (fails) {
        throw new IOException("No space left on device");
      }
    }

    @Override
    public void close() {}
  }

  private static TrainerState state(int step) {
    return new TrainerState(
        "run", step, 0, step, "rows, shuffled", 10L * step, Map.of("seed", "1"), Map.of());
  }

  private void save(int limit, int... steps) {
    CheckpointFolder folder = new CheckpointFolder(output, "base", limit);
    for (int step : steps) {
      folder.save(new Tiny(false), optimizer, state(step));
    }
  }

  private Set<String> listing() throws IOException {
    try (Stream<Path> entries = Files.list(output)) {
      return entries.map(p -> p.getFileName().toString()).collect(Collectors.toSet());
    }
  }

  private int newest(List<String> skipped) {
    return CheckpointFolder.newest(output, skipped::add).orElseThrow().state().step();
  }

  @Test
  void theNewestIsByNumberNotByName() {
    save(0, 9, 10);
    assertEquals(10, newest(new ArrayList<>()));
    assertEquals(state(10), CheckpointFolder.newest(output, l -> {}).orElseThrow().state());
  }

  @Test
  void theNewestAreKeptAndOthersNumbersLeftAlone() throws IOException {
    Files.createDirectories(output.resolve("checkpoint-900"));
    save(2, 1, 2, 3);
    assertEquals(Set.of("checkpoint-900", "checkpoint-2", "checkpoint-3"), listing());
  }

  /** As one is that a run passed over when it went on from the one before. */
  @Test
  void aDamagedOneTakesNoWholeOnesPlace() throws IOException {
    save(2, 1, 2);
    Files.writeString(output.resolve("checkpoint-2").resolve(Manifest.NAME), "{}");
    save(2, 3);
    assertEquals(Set.of("checkpoint-1", "checkpoint-2", "checkpoint-3"), listing());
    save(2, 4);
    assertEquals(Set.of("checkpoint-2", "checkpoint-3", "checkpoint-4"), listing());
  }

  /** Of the same name in another run's life, and with no file of it to say whose it is. */
  @Test
  void whatIsNotThisRunsIsNeverRemoved() throws IOException {
    CheckpointFolder folder = new CheckpointFolder(output, "base", 0);
    folder.save(
        new Tiny(false),
        optimizer,
        new TrainerState("other", 1, 0, 1, "rows, shuffled", 1, Map.of(), Map.of()));
    folder.save(
        new Tiny(false),
        optimizer,
        new TrainerState("other", 900, 0, 1, "rows, shuffled", 1, Map.of(), Map.of()));
    save(1, 2, 3);
    assertEquals(Set.of("checkpoint-1", "checkpoint-3", "checkpoint-900"), listing());
    assertEquals("run", CheckpointFolder.ofStep(output, 3, "run").state().runId());
    assertThrows(InvalidInputException.class, () -> CheckpointFolder.ofStep(output, 1, "run"));
  }

  @Test
  void theBestIsKeptBesidesTheNewestUntilAnotherIs() throws IOException {
    CheckpointFolder folder = new CheckpointFolder(output, "base", 1);
    int[] best = {0, 1, 1, 1, 4, 4};
    for (int step = 1; step <= 5; step++) {
      folder.save(new Tiny(false), optimizer, state(step), best[step]);
      assertEquals(
          step == best[step]
              ? Set.of("checkpoint-" + step)
              : Set.of("checkpoint-" + step, "checkpoint-" + best[step]),
          listing());
    }
  }

  /** A clock that went back: whatever the files' times say, the order is the steps'. */
  @Test
  void timesOfFilesDoNotMatter() throws IOException {
    save(0, 1, 2);
    Files.setLastModifiedTime(output.resolve("checkpoint-2"), FileTime.fromMillis(0));
    assertEquals(2, newest(new ArrayList<>()));
    CheckpointFolder folder = new CheckpointFolder(output, "base", 1);
    folder.save(new Tiny(false), optimizer, state(3));
    assertEquals(Set.of("checkpoint-3"), listing());
  }

  @Test
  void aFormatOfAnotherVersionIsRefused() throws IOException {
    save(0, 4);
    Path file = output.resolve("checkpoint-4").resolve(TrainerState.NAME);
    for (int version : new int[] {1, 3}) {
      Files.writeString(file, "{\"version\": " + version + "}");
      InvalidInputException e =
          assertThrows(InvalidInputException.class, () -> TrainerState.read(file.getParent()));
      assertEquals(
          file
              + ": 'version' is "
              + version
              + ", expected 2: resume with the version of Nibble that wrote it",
          e.getMessage());
    }
  }

  /** An optimizer's memory belongs to a name, wherever that stands in the flat buffer. */
  @Test
  void stateIsFoundByNameNotByPlace() {
    Map<String, long[]> names = new LinkedHashMap<>();
    names.put("a", new long[] {2});
    names.put("b", new long[] {3});
    Map<String, long[]> turned = new LinkedHashMap<>();
    turned.put("b", new long[] {3});
    turned.put("a", new long[] {2});
    try (ParameterSet before = new ParameterSet(names);
        ParameterSet after = new ParameterSet(turned)) {
      AdamW memory = new AdamW(AdamWConfig.DEFAULT, 5);
      float[] values = {1, 2, 3, 4, 5};
      memory.step(FloatBuffer.wrap(values.clone()), FloatBuffer.wrap(values), 0.1);
      before.setValues(FloatBuffer.wrap(values));
      Path written = saved(before, memory);
      AdamW restored = new AdamW(AdamWConfig.DEFAULT, 5);
      SavedCheckpoint.open(written).restore(after, restored);
      assertArrayEquals(new float[] {3, 4, 5, 1, 2}, after.values().toFloats());
      for (String name : List.of("exp_avg", "exp_avg_sq")) {
        FloatBuffer was = memory.state().buffers().get(name);
        FloatBuffer is = restored.state().buffers().get(name);
        for (int i = 0; i < 5; i++) {
          assertEquals(was.get(i), is.get((i + 3) % 5), name);
        }
      }
    }
  }

  private Path saved(ParameterSet of, AdamW memory) {
    Trainable trained =
        new Trainable() {
          @Override
          public ParameterSet parameters() {
            return of;
          }

          @Override
          public List<String> withoutGradient() {
            return List.of();
          }

          @Override
          public void save(Path directory, String baseModel) throws IOException {
            Files.createDirectories(directory);
          }

          @Override
          public void close() {}
        };
    return new CheckpointFolder(output, "base", 0).save(trained, memory, state(1));
  }

  @ParameterizedTest
  @ValueSource(ints = {0, 1, 2, 3})
  void withAnyFileGoneTheOneBeforeItIsTaken(int file) throws IOException {
    save(0, 4, 8);
    Files.delete(output.resolve("checkpoint-8").resolve(FILES.get(file)));
    List<String> skipped = new ArrayList<>();
    assertEquals(4, newest(skipped));
    assertEquals(1, skipped.size());
    assertTrue(skipped.get(0).startsWith("checkpoint-8 is passed over: "), skipped.get(0));
    assertTrue(skipped.get(0).contains(FILES.get(file)), skipped.get(0));
  }

  @ParameterizedTest
  @ValueSource(ints = {0, 1, 2, 3})
  void withAnyFileCutOrChangedTheOneBeforeItIsTaken(int file) throws IOException {
    save(0, 4, 8);
    Path path = output.resolve("checkpoint-8").resolve(FILES.get(file));
    byte[] bytes = Files.readAllBytes(path);
    Files.write(path, java.util.Arrays.copyOf(bytes, bytes.length - 1));
    assertEquals(4, newest(new ArrayList<>()));
    bytes[bytes.length / 2] ^= 1;
    Files.write(path, bytes);
    assertEquals(4, newest(new ArrayList<>()));
  }

  @Test
  void aSaveThatFailsLeavesTheOldOnesAndNothingElse() throws IOException {
    save(1, 4);
    CheckpointFolder folder = new CheckpointFolder(output, "base", 1);
    UncheckedIOException e =
        assertThrows(
            UncheckedIOException.class, () -> folder.save(new Tiny(true), optimizer, state(8)));
    assertTrue(e.getCause().getMessage().contains("No space left"), e.getCause().getMessage());
    assertEquals(Set.of("checkpoint-4"), listing());
    assertEquals(4, newest(new ArrayList<>()));
  }

  @Test
  void whatACrashLeftIsNoCheckpointAndIsClearedAway() throws IOException {
    save(0, 4);
    for (String left : List.of(".tmp-checkpoint-8", ".old-checkpoint-8")) {
      Files.createDirectories(output.resolve(left));
      Files.writeString(output.resolve(left).resolve("adapter.bin"), "ha");
    }
    assertEquals(4, newest(new ArrayList<>()));
    save(0, 8);
    assertEquals(Set.of("checkpoint-4", "checkpoint-8"), listing());
  }

  @Test
  void aStepThatIsThereAlreadyIsReplaced() {
    save(0, 4, 8);
    new CheckpointFolder(output, "base", 0)
        .save(
            new Tiny(false),
            optimizer,
            new TrainerState("run", 8, 3, 1, "rows, shuffled", 5, Map.of(), Map.of()));
    assertEquals(3, CheckpointFolder.newest(output, l -> {}).orElseThrow().state().epoch());
  }

  @Test
  void nothingThereIsNoCheckpoint() {
    assertFalse(CheckpointFolder.newest(output.resolve("none"), l -> {}).isPresent());
    assertThrows(InvalidInputException.class, () -> SavedCheckpoint.open(output.resolve("none")));
  }

  @Test
  void differencesNameEachSettingAndBothValues() {
    SavedCheckpoint saved = new SavedCheckpoint(output, state(1));
    assertEquals(List.of(), saved.differences(Map.of("seed", "1")));
    assertEquals(
        List.of("'lora_r' was nothing, is 8", "'seed' was 1, is 2"),
        saved.differences(Map.of("seed", "2", "lora_r", "8")));
  }
}
