package ai.nibble.safetensors;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.InvalidInputException;
import ai.nibble.tensor.DType;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class SafetensorsDirectoryTest {
  @TempDir Path dir;

  private void shard(String file, String... tensors) {
    List<TensorSpec> specs =
        Arrays.stream(tensors).map(n -> TensorSpec.of(n, DType.UINT8, 1)).toList();
    try (SafetensorsWriter writer = SafetensorsWriter.create(dir.resolve(file), specs)) {
      specs.forEach(spec -> writer.write(spec.name(), ByteBuffer.wrap(new byte[] {1})));
      writer.commit();
    }
  }

  private void index(String json) throws IOException {
    Files.writeString(dir.resolve(SafetensorsDirectory.INDEX), json);
  }

  private String refusal(Path path) {
    return assertThrows(InvalidInputException.class, () -> SafetensorsDirectory.open(path))
        .getMessage();
  }

  private void refuses(String part) {
    String message = refusal(dir);
    assertTrue(message.startsWith(dir.toString()), message);
    assertTrue(message.contains(part), message);
  }

  @Test
  void shardsFormOneNameSpace() throws IOException {
    shard("a.safetensors", "x", "y");
    shard("b.safetensors", "z", "unlisted");
    index(
        "{\"metadata\":{\"total_size\":3,\"more\":[1]},\"weight_map\":"
            + "{\"z\":\"b.safetensors\",\"x\":\"a.safetensors\",\"y\":\"a.safetensors\"}}");
    assertTrue(SafetensorsDirectory.isPresent(dir));
    try (SafetensorsDirectory model = SafetensorsDirectory.open(dir)) {
      assertEquals(Set.of("x", "y", "z", "unlisted"), model.names());
      assertEquals(1, model.bytes("z", 0, 1).get());
      assertEquals(dir.resolve("a.safetensors"), model.fileOf("y").path());
      assertThrows(InvalidInputException.class, () -> model.tensor("w"));
    }
  }

  @Test
  void theSingleFileComesBeforeAnIndex() throws IOException {
    shard(SafetensorsDirectory.SINGLE, "x");
    index("not even JSON");
    try (SafetensorsDirectory model = SafetensorsDirectory.open(dir)) {
      assertEquals(Set.of("x"), model.names());
    }
  }

  @Test
  void aDirectoryWithoutWeightsSaysWhatItHolds() throws IOException {
    refuses("the directory is empty");
    assertTrue(refusal(dir.resolve("absent")).contains("no such directory"));
    Files.writeString(dir.resolve("config.json"), "{}");
    refuses("the weights are not in this directory");
    assertTrue(refusal(dir.resolve("config.json")).contains("is a file"));
    Files.writeString(dir.resolve("adapter_model.safetensors"), "");
    refuses("only adapter_model.safetensors");
    Files.writeString(dir.resolve("pytorch_model.bin"), "");
    refuses("only pytorch_model.bin: pickle files are not loaded");
    assertFalse(SafetensorsDirectory.isPresent(dir));
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "../x.safetensors",
        "/abs/x.safetensors",
        "C:\\\\x.safetensors",
        "C:x.safetensors",
        "a\\\\..\\\\x.safetensors",
        "\\\\\\\\host\\\\s\\\\x.safetensors",
        "a/../x.safetensors",
        "a//x.safetensors",
        "./x.safetensors",
        "x\\u0000.safetensors",
        ""
      })
  void shardsOutsideTheDirectoryAreRefused(String name) throws IOException {
    index("{\"weight_map\":{\"w\":\"" + name + "\"}}");
    refuses("expected a plain file name inside the model directory");
  }

  @Test
  void indicesThatDisagreeWithTheirShardsAreRefused() throws IOException {
    index("{\"weight_map\":{\"w\":\"pytorch_model.bin\"}}");
    refuses("expected a .safetensors file");
    index("{\"weight_map\":{\"w\":\"gone.safetensors\"}}");
    refuses("'gone.safetensors', which is missing");
    shard("a.safetensors", "x");
    index("{\"weight_map\":{\"x\":\"a.safetensors\",\"w\":\"a.safetensors\"}}");
    refuses("says tensor 'w' is in a.safetensors, which does not hold it");
    shard("b.safetensors", "w");
    index("{\"weight_map\":{\"x\":\"b.safetensors\",\"w\":\"a.safetensors\"}}");
    refuses("(it is in a.safetensors)");
    shard("b.safetensors", "w", "x");
    index("{\"weight_map\":{\"x\":\"a.safetensors\",\"w\":\"b.safetensors\"}}");
    refuses("tensor 'x' is in two shards, a.safetensors and b.safetensors");
    Files.writeString(dir.resolve("b.safetensors"), "version https://git-lfs.github.com/spec/v1");
    assertTrue(refusal(dir).contains("Git LFS pointer"));
  }

  @Test
  void indicesThatAreNoneAreRefused() throws IOException {
    index("[]");
    refuses("expected a JSON object");
    index("{}");
    refuses("no key 'weight_map'");
    index("{\"weight_map\":{}}");
    refuses("lists no tensors");
    index("{\"weight_map\":[]}");
    refuses("'weight_map' is not an object");
    index("{\"weight_map\":{\"w\":1}}");
    refuses("weight_map['w'] is not a file name");
    index("{\"weight_map\":{\"w\":\"a.safetensors\",\"w\":\"a.safetensors\"}}");
    refuses("the key 'w' twice");
    index("{\"weight_map\":{\"w\":\"a.safetensors\"}");
    refuses("at line 1");
    index("{\"a\":" + "[".repeat(200_000));
    refuses("not valid JSON");
  }
}
