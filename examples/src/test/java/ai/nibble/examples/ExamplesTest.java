package ai.nibble.examples;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.lang.reflect.Method;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/** Every example is short and has a test of its name. */
class ExamplesTest {
  private static final List<String> EXAMPLES =
      List.of(
          "CompareAdapters",
          "CustomLoop",
          "LabelSmoothing",
          "QuantizeOneMatrix",
          "QuestionRows",
          "StopAtLoss",
          "TrainFromRecipe");

  private static List<Path> sources() throws IOException {
    Path folder = TinyBase.root().resolve("examples/src/main/java");
    try (Stream<Path> files = Files.walk(folder)) {
      return files.filter(f -> f.toString().endsWith(".java")).sorted().toList();
    }
  }

  @Test
  void eachHasATest() throws Exception {
    List<String> names =
        sources().stream().map(f -> f.getFileName().toString().replace(".java", "")).toList();
    assertEquals(EXAMPLES, names);
    for (String name : names) {
      Method[] methods = Class.forName("ai.nibble.examples." + name + "Test").getDeclaredMethods();
      assertTrue(
          Arrays.stream(methods).anyMatch(m -> m.isAnnotationPresent(Test.class)),
          name + "Test tests nothing");
    }
  }

  @Test
  void eachIsUnderAHundredLines() throws IOException {
    for (Path source : sources()) {
      int lines = Files.readAllLines(source).size();
      assertTrue(lines < 100, source + " has " + lines + " lines");
    }
  }
}
