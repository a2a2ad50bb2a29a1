package ai.nibble.data;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertThrows;

import ai.nibble.InvalidInputException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class RowProblemsTest {
  @TempDir private Path directory;
  private final List<String> good = new ArrayList<>();

  private InvalidInputException refusal(String name, String text) throws IOException {
    Path path = Files.writeString(directory.resolve(name), text);
    try (RowFile rows = new RowFile(path, Map.of())) {
      return assertThrows(
          InvalidInputException.class,
          () -> RowProblems.forEach("rows", rows, row -> good.add(row.text("a"))));
    }
  }

  private List<String> problems(String name, String text) throws IOException {
    return refusal(name, text).problems().stream()
        .map(problem -> problem.replace(directory + "/", ""))
        .toList();
  }

  @Test
  void everyBadLineIsNamedAndTheRowsBehindItAreRead() throws IOException {
    List<String> problems =
        problems(
            "a.jsonl", "{\"a\": \"x\"}\n{\"a\": }\n[1]\n{\"b\": 1}\n{\"a\": 2}\n{\"a\": \"y\"}\n");
    assertEquals(4, problems.size(), problems::toString);
    assertEquals("a.jsonl:2:7: not valid JSON", problems.get(0).substring(0, 27));
    assertEquals("a.jsonl:3: expected a JSON object, got [1]", problems.get(1));
    assertEquals("a.jsonl:4: column 'a' is missing", problems.get(2).substring(0, 32));
    assertEquals("a.jsonl:5: column 'a' is 2, expected a string", problems.get(3));
    assertEquals(List.of("x", "y"), good);
  }

  @Test
  void moreThanEightAreCounted() throws IOException {
    assertEquals(8, problems("a.jsonl", "[]\n".repeat(8)).size());
    List<String> nine = problems("a.jsonl", "[]\n".repeat(9));
    assertEquals(9, nine.size());
    assertEquals("a.jsonl:8: expected a JSON object, got []", nine.get(7));
    assertEquals("rows: and 1 more row", nine.get(8));
    assertEquals("rows: and 12 more rows", problems("a.jsonl", "[]\n".repeat(20)).get(8));
  }

  @Test
  void anArrayIsReadToWhereItBreaks() throws IOException {
    List<String> problems = problems("a.json", "[1,\n{\"a\": \"x\"},\n{\"b\": 1},\n{\"a\" 3},\n7]");
    assertEquals(3, problems.size(), problems::toString);
    assertEquals("a.json:1: row 1: expected a JSON object, got 1", problems.get(0));
    assertEquals("a.json:4:", problems.get(2).substring(0, 9));
    assertEquals(List.of("x"), good);
  }

  @Test
  void aRowThatBreaksOffSaysWhereItBeganWithoutTheParsersOwnTerms() throws IOException {
    assertEquals(
        List.of(
            "a.jsonl:2:8: not valid JSON: Unexpected end-of-input: expected close marker for Object"
                + " (start marker at column 1)"),
        problems("a.jsonl", "{\"a\": \"x\"}\n{\"a\": 1\n"));
    assertEquals(
        List.of(
            "a.json:4:1: not valid JSON: Unexpected end-of-input: expected close marker for Object"
                + " (start marker at line 2, column 1)"),
        problems("a.json", "[\n{\"a\":\n1\n"));
    for (String broken :
        List.of("{\"a\"", "{\"a\": [", "{\"a\": \"x", "{\"a\": tru", "{\"a\": 1,", "{")) {
      for (String name : List.of("a.jsonl", "a.json")) {
        String problem = problems(name, name.equals("a.json") ? "[" + broken : broken).get(0);
        assertFalse(problem.matches("(?s).*(Source|REDACTED|Feature|\\n).*"), problem);
      }
    }
  }

  @Test
  void onlyOneKeepsItsCause() throws IOException {
    assertNotNull(refusal("a.jsonl", "{\"a\": }\n").getCause());
  }
}
