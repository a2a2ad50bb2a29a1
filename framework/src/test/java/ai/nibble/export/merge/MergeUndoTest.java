package ai.nibble.export.merge;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.InvalidInputException;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;

/** Taking a merged adapter out again. */
class MergeUndoTest extends MergeFixture {
  @Test
  void undoingGivesTheBaseBackButForRounding() throws IOException {
    Path base = base();
    Path adapter = TinyAdapter.plain(1).write(temp.resolve("a"));
    merge(base, weighted(adapter, 0.5));
    MergeReport report = undo(out(), adapter, temp.resolve("undone"));
    assertTrue(report.proof().holds());
    // half a unit of float32 of the sum and as much of the difference; values are below 8
    assertNear(doubles(values(base, Q + ".weight")), values(temp.resolve("undone"), Q + ".weight"));
    assertEquals(
        "undo",
        new ObjectMapper()
            .readTree(temp.resolve("undone/merge.json").toFile())
            .get("operation")
            .asText());
  }

  @Test
  void onlyWhatWasMergedCanBeUndone() throws IOException {
    Path base = base();
    merge(base, plain(TinyAdapter.plain(1).write(temp.resolve("a"))));
    Path other = TinyAdapter.plain(2).write(temp.resolve("b"));
    String message =
        assertThrows(InvalidInputException.class, () -> undo(out(), other, temp.resolve("undone")))
            .getMessage();
    assertEquals(
        out()
            + ": merge.json names the adapters [a], none with the weights of "
            + other
            + ": only what was merged can be taken out",
        message);
  }
}
