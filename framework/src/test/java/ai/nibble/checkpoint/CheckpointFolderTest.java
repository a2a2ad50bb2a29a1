package ai.nibble.checkpoint;

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
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
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
    return new TrainerState("run", step, 0, step, 10L * step, Map.of("seed", "1"), Map.of());
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
        .save(new Tiny(false), optimizer, new TrainerState("run", 8, 3, 1, 5, Map.of(), Map.of()));
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
