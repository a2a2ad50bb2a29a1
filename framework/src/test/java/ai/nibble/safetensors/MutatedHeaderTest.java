package ai.nibble.safetensors;

import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.JsonMutations;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Headers and indices damaged at random. */
class MutatedHeaderTest {
  private static final String HEADER =
      """
      {"__metadata__": {"format": "pt", "made": "ä"},
       "a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
       "b": {"dtype": "BF16", "shape": [], "data_offsets": [24, 26]},
       "c": {"dtype": "I8", "shape": [5, 0], "data_offsets": [26, 26]},
       "d": {"dtype": "F4", "shape": [2, 2], "data_offsets": [26, 28]},
       "e": {"dtype": "F64", "shape": [1, 1, 1], "data_offsets": [28, 36]}}""";

  @TempDir Path temp;

  @Test
  void anyHeaderIsReadOrRefusedInOneLine() throws IOException {
    Path file = temp.resolve("model.safetensors");
    JsonMutations headers = new JsonMutations(HEADER, 26);
    headers.each(
        3000,
        file.toString(),
        header -> {
          ByteBuffer bytes =
              ByteBuffer.allocate(8 + header.length + 36).order(ByteOrder.LITTLE_ENDIAN);
          Files.write(file, bytes.putLong(header.length).put(header).array());
          readAll(file);
        });
    assertTrue(headers.refused() > 2000 && headers.taken() > 50, headers.taken() + " taken");
  }

  private static void readAll(Path path) {
    try (SafetensorsFile file = SafetensorsFile.open(path)) {
      for (String name : file.names()) {
        file.read(name, 0, ByteBuffer.allocate((int) file.tensor(name).bytes()));
      }
    }
  }

  @Test
  void anyIndexIsReadOrRefusedInOneLine() throws IOException {
    Path shard = temp.resolve("model-00001-of-00001.safetensors");
    byte[] header = HEADER.getBytes(StandardCharsets.UTF_8);
    ByteBuffer bytes = ByteBuffer.allocate(8 + header.length + 36).order(ByteOrder.LITTLE_ENDIAN);
    Files.write(shard, bytes.putLong(header.length).put(header).array());
    String map = "\"%s\": \"" + shard.getFileName() + "\"";
    String index =
        "{\"metadata\": {\"total_size\": 36}, \"weight_map\": {"
            + String.join(", ", Stream.of("a", "b", "c", "d", "e").map(map::formatted).toList())
            + "}}";
    JsonMutations indices = new JsonMutations(index, 20);
    indices.each(
        700,
        temp.toString(),
        json -> {
          Files.write(temp.resolve(SafetensorsDirectory.INDEX), json);
          SafetensorsDirectory.open(temp).close();
        });
    assertTrue(indices.refused() > 200 && indices.taken() > 50, indices.taken() + " taken");
  }
}
