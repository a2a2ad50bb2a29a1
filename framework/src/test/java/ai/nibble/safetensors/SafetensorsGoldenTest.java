package ai.nibble.safetensors;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.Shared;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.OptionalLong;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** Every safetensors file among the reference values was written by the reference writer. */
@Tag("golden")
class SafetensorsGoldenTest {
  @Test
  void everyReferenceFileIsReadable() throws IOException {
    List<Path> files;
    try (Stream<Path> walk = Files.walk(Shared.fixtures(""))) {
      files = walk.filter(p -> p.toString().endsWith(".safetensors")).toList();
    }
    int tensors = 0;
    for (Path path : files) {
      try (SafetensorsFile file = SafetensorsFile.open(path)) {
        for (String name : file.names()) {
          SafetensorsTensor tensor = file.tensor(name);
          assertEquals(tensor.bytes(), file.bytes(name, 0, (int) tensor.bytes()).remaining());
          tensors++;
        }
      }
    }
    System.out.printf("safetensors: %d files, %d tensors%n", files.size(), tensors);
    assertTrue(!files.isEmpty() && tensors > 0, "no safetensors files among the fixtures");
  }

  @Test
  void everyReferenceModelIsReadableAndFinite() throws IOException {
    List<Path> models;
    try (Stream<Path> list = Files.list(Shared.fixtures("models"))) {
      models = list.filter(SafetensorsDirectory::isPresent).sorted().toList();
    }
    int sharded = 0;
    for (Path path : models) {
      try (SafetensorsDirectory model = SafetensorsDirectory.open(path)) {
        sharded += model.files().size() > 1 ? 1 : 0;
        for (String name : model.names()) {
          assertEquals(OptionalLong.empty(), model.firstNonFinite(name), name);
        }
      }
    }
    System.out.printf("model directories: %d, of them %d sharded%n", models.size(), sharded);
    assertTrue(!models.isEmpty(), "no model directories among the fixtures");
  }
}
