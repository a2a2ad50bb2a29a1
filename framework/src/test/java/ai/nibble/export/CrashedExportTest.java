package ai.nibble.export;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.TinyChat;
import ai.nibble.WholeDirectory;
import ai.nibble.export.gguf.FileType;
import ai.nibble.export.gguf.ModelExport;
import ai.nibble.export.merge.Merge;
import ai.nibble.export.merge.MergeRequest;
import ai.nibble.export.merge.TinyAdapter;
import ai.nibble.fault.Disk;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Torch;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.TreeMap;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * Exports that end at some change to the disk: what they were to make is whole, or is not there.
 */
class CrashedExportTest {
  /** Points of each; {@code -Dnibble.crashes=1000} takes every one. */
  private static final int CRASHES = Integer.getInteger("nibble.crashes", 24);

  @TempDir Path temp;
  private final int threadsBefore = Torch.threads();
  private Path base;
  private Path adapter;

  @BeforeEach
  void write() throws IOException {
    Torch.setThreads(1); // these products are too small to share
    base = TinyChat.write(temp.resolve("base"));
    adapter = TinyAdapter.plain(1).write(temp.resolve("adapter"));
  }

  @AfterEach
  void restoreThreads() {
    Torch.setThreads(threadsBefore);
  }

  /** Makes something at a place. */
  @FunctionalInterface
  private interface Export {
    void to(Path out) throws IOException;
  }

  private void isWholeOrAbsent(String name, Export export) throws IOException {
    Path place = Files.createDirectory(temp.resolve("whole"));
    Disk sound = new Disk(Disk.Fault.NONE);
    export.to(sound.path(place.resolve(name)));
    Map<String, byte[]> expected = files(place.resolve(name));
    assertTrue(!expected.isEmpty());
    int changes = sound.changes();
    int crashes = Math.min(CRASHES, changes);
    int whole = 0;
    for (int n = 0; n < crashes; n++) {
      int k = changes - (int) ((long) n * changes / crashes);
      Path out = Files.createDirectory(temp.resolve("at" + k)).resolve(name);
      Disk disk = Disk.killedAt(k);
      assertThrows(Disk.Killed.class, () -> export.to(disk.path(out)), "" + k);
      if (n % 2 == 1) {
        disk.cutPower();
      }
      if (Files.exists(out)) {
        whole++;
        Map<String, byte[]> found = files(out);
        assertEquals(expected.keySet(), found.keySet(), disk.log().get(k - 1));
        expected.forEach((file, bytes) -> assertArrayEquals(bytes, found.get(file), file));
      }
      WholeDirectory.delete(out.getParent());
    }
    assertTrue(whole < crashes, "every one was whole: nothing was ended");
  }

  private static Map<String, byte[]> files(Path place) throws IOException {
    Map<String, byte[]> files = new TreeMap<>();
    try (Stream<Path> tree = Files.walk(place)) {
      for (Path file : tree.filter(Files::isRegularFile).toList()) {
        files.put(place.relativize(file).toString(), Files.readAllBytes(file));
      }
    }
    return files;
  }

  @Test
  void aMergedModel() throws IOException {
    isWholeOrAbsent(
        "merged",
        out ->
            Merge.run(
                new MergeRequest(
                    base,
                    List.of(new MergeRequest.Adapter(adapter, OptionalDouble.empty())),
                    Optional.empty(),
                    Optional.empty(),
                    MergeRequest.MAX_SHARD_BYTES,
                    Optional.empty(),
                    Optional.empty(),
                    false,
                    out),
                notice -> {},
                line -> {}));
  }

  @Test
  void aModelInGguf() throws IOException {
    isWholeOrAbsent(
        "model.gguf",
        out ->
            ModelExport.write(
                new ModelExport.Request(
                    base,
                    Optional.of(adapter),
                    FileType.Q8_0,
                    out,
                    Optional.empty(),
                    Optional.of("gpt-2")),
                notice -> {}));
  }

  @Test
  void anAdapter() throws IOException {
    isWholeOrAbsent("copy", out -> PeftExport.write(adapter, DType.BFLOAT16, out));
  }
}
