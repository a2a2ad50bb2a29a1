package ai.nibble;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.TreeSet;
import java.util.regex.MatchResult;
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
          List.of("train", "eval", "generate", "export", "report", "plan"),
          List.of("checkpoint"),
          List.of("lora", "data", "optim"),
          List.of("model"),
          List.of("nn"),
          List.of("autograd"),
          List.of("quant"),
          List.of("cuda"),
          List.of("safetensors", "gguf", "hub", "tensor"));

  private static final Pattern IMPORT =
      Pattern.compile("^import (?:static )?([\\w.]+);", Pattern.MULTILINE);

  /** Text blocks, strings, characters and comments, in which a name binds nothing. */
  private static final Pattern NOT_CODE =
      Pattern.compile(
          "\"\"\"[\\s\\S]*?\"\"\"|\"(?:\\\\.|[^\"\\\\\n])*+\"|'(?:\\\\.|[^'\\\\\n])++'"
              + "|//[^\\n]*|/\\*[\\s\\S]*?\\*/");

  private static final Pattern PACKAGE_OR_IMPORT =
      Pattern.compile("^(?:package|import)\\b[^;]*;", Pattern.MULTILINE);

  /** Names by which code could reach past the imports that the other facts are about. */
  private static final Pattern QUALIFIED =
      Pattern.compile(
          "\\b(?:ai\\.nibble|ai\\.djl\\.pytorch|com\\.sun\\.jna)\\.\\w[\\w.]*"
              + "|[\\w.]+\\.yaml\\.[\\w.]+");

  private static List<String> qualifiedNames(String text) {
    String code = PACKAGE_OR_IMPORT.matcher(NOT_CODE.matcher(text).replaceAll("")).replaceAll("");
    return QUALIFIED.matcher(code).results().map(MatchResult::group).toList();
  }

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

  /** What the facts about imports rest on: there is no other way to name a package. */
  @Test
  void everyPackageIsNamedByAnImport() throws IOException {
    List<String> wrong = new ArrayList<>();
    for (Path file : sources()) {
      for (String name : qualifiedNames(Files.readString(file))) {
        wrong.add(file.getFileName() + " writes out " + name + ": import it");
      }
    }
    assertEquals(List.of(), wrong);
  }

  @Test
  void aNameWrittenOutIsFoundInCodeOnly() {
    String text =
        """
        package ai.nibble.nn;
        import ai.nibble.tensor.Tensor;
        /** {@link ai.nibble.cli.Nibble}, "quoted. */
        class A { // ai.nibble.cli.Chat
          String s = "a \\" ai.nibble.cli.Nibble // " + '"' + '\\'';
          ai.nibble.cli.Chat chat = com.sun.jna.Native.load("ai.nibble.tensor");
          /* " */ Object yaml = new com.fasterxml.jackson.dataformat.yaml.YAMLFactory();
        }
        """;
    assertEquals(
        List.of(
            "ai.nibble.cli.Chat",
            "com.sun.jna.Native.load",
            "com.fasterxml.jackson.dataformat.yaml.YAMLFactory"),
        qualifiedNames(text));
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
