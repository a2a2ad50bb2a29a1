package ai.nibble.export.merge;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.InvalidInputException;
import ai.nibble.quant.Quant4Config;
import ai.nibble.quant.Quant4Type;
import ai.nibble.quant.QuantConfig;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
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

  @Test
  void adaptersAreTakenOutOneAfterTheOther() throws IOException {
    Path base = base();
    Path a = TinyAdapter.plain(1).write(temp.resolve("a"));
    Path b = TinyAdapter.plain(2).write(temp.resolve("b"));
    merge(base, weighted(a, 0.5), weighted(b, -2));
    Path without = temp.resolve("without-a");
    undo(out(), a, without);
    JsonNode record = new ObjectMapper().readTree(without.resolve("merge.json").toFile());
    assertEquals("b", record.at("/adapters/0/name").asText());
    assertEquals(1, record.get("adapters").size());
    assertEquals("a", record.at("/taken_out/0/name").asText());
    assertEquals(0.5, record.at("/taken_out/0/weight").asDouble());
    String message =
        assertThrows(InvalidInputException.class, () -> undo(without, a, temp.resolve("twice")))
            .getMessage();
    assertEquals(
        without
            + ": merge.json says that "
            + a
            + " was taken out already: only what was merged can be taken out",
        message);
    undo(without, b, temp.resolve("undone"));
    // two roundings of sums and two of differences, each half a unit of float32 below 8
    assertNear(doubles(values(base, Q + ".weight")), values(temp.resolve("undone"), Q + ".weight"));
  }

  @Test
  void ofAModelWithoutARecordAnAdapterIsTakenOutOnce() throws IOException {
    Path base = base();
    Path a = TinyAdapter.plain(1).write(temp.resolve("a"));
    Path b = TinyAdapter.plain(2).write(temp.resolve("b"));
    merge(base, plain(a), plain(b));
    Files.delete(out().resolve("merge.json"));
    Path without = temp.resolve("without-a");
    assertEquals("not recorded", undo(out(), a, without).baseWeights());
    assertTrue(
        notices.contains(out() + " has no merge.json: that it holds the adapter is believed"));
    assertThrows(InvalidInputException.class, () -> undo(without, a, temp.resolve("twice")));
    undo(without, b, temp.resolve("undone"));
    assertNear(doubles(values(base, Q + ".weight")), values(temp.resolve("undone"), Q + ".weight"));
  }

  @Test
  void theBaseItselfHoldsNothingToTakeOut() throws IOException {
    Path base = base();
    TinyAdapter adapter = TinyAdapter.plain(1);
    adapter.fields.put("base_model_name_or_path", "\"" + base + "\"");
    Path a = adapter.write(temp.resolve("a"));
    assertEquals(
        base + ": is what " + a + " was trained on, expected a model that it was merged into",
        assertThrows(InvalidInputException.class, () -> undo(base, a, temp.resolve("undone")))
            .getMessage());
  }

  @Test
  void whatWasMergedOntoStaysInTheRecord() throws IOException {
    Path a = TinyAdapter.plain(1).write(temp.resolve("a"));
    Quant4Config nf4 = new Quant4Config(Quant4Type.NF4, 64, false);
    Merge.run(
        request(base(), Optional.of(nf4), Optional.empty(), plain(a)), notices::add, line -> {});
    MergeReport report = undo(out(), a, temp.resolve("undone"));
    assertEquals("nf4, blocks of 64, dequantised to float32", report.baseWeights());
  }

  @Test
  void anAdapterGivenTwiceIsRefused() throws IOException {
    Path base = base();
    Path a = TinyAdapter.plain(1).write(temp.resolve("a"));
    Path same = temp.resolve("x/../a");
    assertEquals(
        same + ": is given twice, expected once: say how much by its weight",
        assertThrows(InvalidInputException.class, () -> merge(base, plain(a), weighted(same, 2)))
            .getMessage());
  }

  @Test
  void whatTheBaseHeldAlreadyCanBeTakenOutToo() throws IOException {
    Path base = base();
    Path a = TinyAdapter.plain(1).write(temp.resolve("a"));
    Path b = TinyAdapter.plain(2).write(temp.resolve("b"));
    merge(base, plain(a));
    Path both = temp.resolve("both");
    assertEquals("original", mergeOnto(out(), Optional.empty(), b, both).baseWeights());
    undo(both, a, temp.resolve("without-a"));
    undo(temp.resolve("without-a"), b, temp.resolve("undone"));
    assertNear(doubles(values(base, Q + ".weight")), values(temp.resolve("undone"), Q + ".weight"));
    // rounded to 4 bits with a in them, the weights would not be the base's without it
    Path rounded = temp.resolve("rounded");
    mergeOnto(out(), Optional.of(new Quant4Config(Quant4Type.NF4, 64, false)), b, rounded);
    assertThrows(InvalidInputException.class, () -> undo(rounded, a, temp.resolve("never")));
  }

  private MergeReport mergeOnto(
      Path base, Optional<QuantConfig> quantization, Path adapter, Path output) {
    return Merge.run(
        new MergeRequest(
            base,
            List.of(plain(adapter)),
            quantization,
            Optional.empty(),
            MergeRequest.MAX_SHARD_BYTES,
            Optional.empty(),
            Optional.empty(),
            false,
            output),
        notices::add,
        line -> {});
  }
}
