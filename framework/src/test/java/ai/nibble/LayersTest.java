package ai.nibble;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.TreeSet;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/** The direction of the packages: each imports only what stands to its right, or its own rank. */
class LayersTest {
  private static final List<List<String>> RANKS =
      List.of(
          List.of("cli"),
          List.of("recipe"),
          List.of("train", "eval", "generate", "export"),
          List.of("checkpoint"),
          List.of("lora", "data", "optim"),
          List.of("model"),
          List.of("nn"),
          List.of("autograd"),
          List.of("quant"),
          List.of("cuda"),
          List.of("safetensors", "gguf", "tensor"));

  private static final Pattern IMPORT =
      Pattern.compile("^import (?:static )?([\\w.]+);", Pattern.MULTILINE);

  private static int rank(String name) {
    for (int i = 0; i < RANKS.size(); i++) {
      if (RANKS.get(i).contains(name)) {
        return i;
      }
    }
    throw new AssertionError("package '" + name + "' has no place in the order");
  }

  private static List<Path> sources() throws IOException {
    Path root = Shared.root().resolve("framework/src/main/java/ai/nibble");
    try (Stream<Path> files = Files.walk(root)) {
      return files.filter(f -> f.toString().endsWith(".java")).toList();
    }
  }

  @Test
  void packagesImportOnlyToTheirRight() throws IOException {
    List<String> wrong = new ArrayList<>();
    TreeSet<String> seen = new TreeSet<>();
    for (Path file : sources()) {
      String text = Files.readString(file);
      Matcher own = Pattern.compile("(?m)^package ai\\.nibble\\.?(\\w*)").matcher(text);
      assertTrue(own.find(), file.toString());
      String name = own.group(1);
      if (name.isEmpty()) {
        continue;
      }
      seen.add(name);
      Matcher imports = IMPORT.matcher(text);
      while (imports.find()) {
        Matcher other = Pattern.compile("ai\\.nibble\\.([a-z]\\w*)\\..*").matcher(imports.group(1));
        if (other.matches() && rank(other.group(1)) < rank(name)) {
          wrong.add(file.getFileName() + " imports " + imports.group(1));
        }
      }
    }
    assertEquals(List.of(), wrong);
    int places = RANKS.stream().mapToInt(List::size).sum();
    assertEquals(places, seen.size(), "packages seen: " + seen);
  }

  @Test
  void onlyTensorKnowsNativeCallsAndOnlyRecipeKnowsYaml() throws IOException {
    List<String> wrong = new ArrayList<>();
    for (Path file : sources()) {
      String text = Files.readString(file);
      Matcher imports = IMPORT.matcher(text);
      while (imports.find()) {
        String name = imports.group(1);
        boolean isNative = name.startsWith("com.sun.jna") || name.startsWith("ai.djl.pytorch");
        boolean isYaml = name.contains(".yaml.");
        if (isNative && !text.contains("package ai.nibble.tensor;")
            || isYaml && !text.contains("package ai.nibble.recipe;")) {
          wrong.add(file.getFileName() + " imports " + name);
        }
      }
    }
    assertEquals(List.of(), wrong);
  }
}
