package ai.nibble.data;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.InvalidInputException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class DataFilesTest {
  @TempDir private Path directory;

  private Path write(String name, String text) throws IOException {
    Path file = directory.resolve(name);
    Files.createDirectories(file.getParent());
    return Files.writeString(file, text);
  }

  private void touch(String... names) throws IOException {
    for (String name : names) {
      write(name, "");
    }
  }

  private List<String> find(String path, String split) {
    return DataFiles.find(directory.resolve(path), Optional.ofNullable(split)).stream()
        .map(file -> directory.relativize(file).toString())
        .toList();
  }

  private String refusal(String path, String split) {
    return assertThrows(InvalidInputException.class, () -> find(path, split))
        .getMessage()
        .replace(directory.toString(), "DIR");
  }

  @Test
  void aSplitIsAFileOrShardsOrAFolder() throws IOException {
    touch("a/train.jsonl", "a/test.csv", "a/README.md", "a/trainer.jsonl");
    assertEquals(List.of("a/train.jsonl"), find("a", "train"));
    assertEquals(List.of("a/test.csv"), find("a", "test"));
    touch("b/data/train-00001-of-00002.parquet", "b/data/train-00000-of-00002.parquet");
    touch("b/data/test-00000-of-00001-0123456789abcdef.parquet", "b/README.md");
    assertEquals(
        List.of("b/data/train-00000-of-00002.parquet", "b/data/train-00001-of-00002.parquet"),
        find("b", "train"));
    assertEquals(1, find("b", "test").size());
    touch("c/train/0001.parquet", "c/train/0000.parquet", "c/train/notes.md");
    assertEquals(List.of("c/train/0000.parquet", "c/train/0001.parquet"), find("c", "train"));
  }

  @Test
  void aSplitThatIsNotThereOrMayBeSeveralIsRefused() throws IOException {
    touch("a/train.jsonl", "a/train.csv");
    assertEquals(
        "split 'train' may be any of [DIR/a/train.csv, DIR/a/train.jsonl]: name the file itself",
        refusal("a", "train"));
    assertTrue(refusal("a", "dev").startsWith("no 'dev.jsonl' in 'DIR/a', nor another of ["));
    assertTrue(refusal("a", ".*").startsWith("no '.*.jsonl' in 'DIR/a'"), refusal("a", ".*"));
    assertEquals(
        "'DIR/a' is a directory, expected a file of rows: name one, or a pattern such as '*.jsonl'"
            + " in it, or add 'split'",
        refusal("a", null));
    touch("b/train-00000-of-00003.parquet", "b/train-00002-of-00003.parquet");
    assertTrue(refusal("b", "train").startsWith("shard 1 of 3 is not there"));
    touch("b/train-00001-of-00003.parquet", "b/train-00002-of-00003-abc.parquet");
    assertTrue(refusal("b", "train").startsWith("shard 3 of 3 is not there, or twice"));
  }

  @Test
  void aPatternIsTheFilesThatMatchInTheOrderOfTheirNames() throws IOException {
    touch("a/2.jsonl", "a/1.jsonl", "a/1.csv", "a/deep/3.jsonl");
    assertEquals(List.of("a/1.jsonl", "a/2.jsonl"), find("a/*.jsonl", null));
    assertEquals(List.of("a/1.csv", "a/1.jsonl"), find("a/1.{csv,jsonl}", null));
    assertEquals(List.of("a/1.jsonl", "a/2.jsonl", "a/deep/3.jsonl"), find("a/**.jsonl", null));
    assertEquals("no file matches 'DIR/a/*.txt': check the pattern", refusal("a/*.txt", null));
    assertTrue(refusal("none/*.txt", null).startsWith("no file matches"));
    assertEquals(
        "nothing is at 'DIR/a/[x.jsonl', which is no pattern either: Missing ']'",
        refusal("a/[x.jsonl", null).replaceFirst("Missing '].*", "Missing ']'"));
    touch("a/x[1].jsonl");
    assertEquals(List.of("a/x[1].jsonl"), find("a/x[1].jsonl", null));
  }

  @Test
  void filesAreReadOneBehindTheOther() throws IOException {
    List<Path> files =
        List.of(
            write("1.jsonl", "{\"a\": 1}\n{\"a\": }\n"),
            write("2.json", "[]"),
            write("3.csv", "a\n2\n3\n"));
    List<Object> values = new ArrayList<>();
    try (RowFiles rows = new RowFiles(files.subList(0, 2), Map.of())) {
      InvalidInputException e =
          assertThrows(
              InvalidInputException.class,
              () -> RowProblems.forEach("x", rows, row -> values.add(row.value("a"))));
      assertTrue(e.getMessage().contains("1.jsonl:2:7"), e.getMessage());
    }
    try (RowFiles rows = new RowFiles(List.of(files.get(2), files.get(2)), Map.of())) {
      RowProblems.forEach("x", rows, row -> values.add(row.value("a")));
    }
    assertEquals(Arrays.asList(1, "2", "3", "2", "3"), values);
  }

  @Test
  void filesWhoseColumnsDifferAreRefused() throws IOException {
    List<Path> files = List.of(write("1.csv", "a,b\n1,2\n"), write("2.csv", "a,c\n1,2\n"));
    try (RowFiles rows = new RowFiles(files, Map.of())) {
      String message =
          assertThrows(InvalidInputException.class, () -> RowProblems.forEach("x", rows, row -> {}))
              .getMessage();
      assertEquals(files.get(1) + ": column 'b' is missing, but text in " + files.get(0), message);
    }
  }
}
