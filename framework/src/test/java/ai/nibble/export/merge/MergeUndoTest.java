package ai.nibble.export.merge;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.InvalidInputException;
import ai.nibble.WholeDirectory;
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

  private Path dora(int seed, String name) throws IOException {
    TinyAdapter dora = TinyAdapter.plain(seed);
    dora.fields.put("use_dora", "true");
    for (int layer = 0; layer < 2; layer++) {
      dora.magnitudes("model.layers." + layer + ".self_attn.q_proj", 24);
      dora.magnitudes("model.layers." + layer + ".mlp.down_proj", 12);
    }
    return dora.write(temp.resolve(name));
  }

  private MergeReport mergeOnto(Path base, Path adapter, Path output) {
    return Merge.run(
        new MergeRequest(
            base,
            List.of(plain(adapter)),
            Optional.empty(),
            Optional.empty(),
            MergeRequest.MAX_SHARD_BYTES,
            Optional.empty(),
            Optional.empty(),
            false,
            output),
        notices::add,
        line -> {});
  }

  /**
   * A row is divided by what it was multiplied by. Three roundings of float32 to sums below 8, and
   * what the merged row was rounded by, divided by the factor, which no magnitude here makes less
   * than a tenth.
   */
  @Test
  void doraIsTakenOutByTheFactorsThatWereKept() throws IOException {
    Path base = base();
    Path adapter = dora(1, "dora");
    merge(base, plain(adapter));
    Path kept = out().resolve("undo");
    assertEquals(1, Files.list(kept).count());
    MergeReport report = undo(out(), adapter, temp.resolve("undone"));
    assertTrue(report.proof().holds());
    for (String name : List.of(Q + ".weight", DOWN + ".weight", EMBEDDING)) {
      assertArrayEquals(values(base, name), values(temp.resolve("undone"), name), 1e-5f);
    }
    assertFalse(Files.exists(temp.resolve("undone/undo")));
    WholeDirectory.delete(kept);
    String message =
        assertThrows(InvalidInputException.class, () -> undo(out(), adapter, temp.resolve("again")))
            .getMessage();
    assertTrue(message.contains("is a DoRA adapter, whose factors of rows nothing kept"), message);
  }

  @Test
  void whatWasMergedSinceIsTakenOutBeforeDora() throws IOException {
    Path base = base();
    Path first = TinyAdapter.plain(2).write(temp.resolve("first"));
    Path middle = dora(1, "middle");
    Path last = TinyAdapter.plain(4).write(temp.resolve("last"));
    mergeOnto(base, first, temp.resolve("one"));
    mergeOnto(temp.resolve("one"), middle, temp.resolve("two"));
    mergeOnto(temp.resolve("two"), last, temp.resolve("three"));
    for (Path early : List.of(first, middle)) {
      String later = early.equals(first) ? "middle" : "last";
      String message =
          assertThrows(
                  InvalidInputException.class,
                  () -> undo(temp.resolve("three"), early, temp.resolve("no")))
              .getMessage();
      assertEquals(
          early
              + ": was merged before '"
              + later
              + "', and DoRA's factors of rows are undone in the opposite order: take '"
              + later
              + "' out first",
          message);
    }
    undo(temp.resolve("three"), last, temp.resolve("back2"));
    undo(temp.resolve("back2"), middle, temp.resolve("back1"));
    undo(temp.resolve("back1"), first, temp.resolve("back0"));
    for (String name : List.of(Q + ".weight", DOWN + ".weight")) {
      assertArrayEquals(
          values(temp.resolve("two"), name), values(temp.resolve("back2"), name), 1e-5f);
      assertArrayEquals(values(base, name), values(temp.resolve("back0"), name), 2e-5f);
    }
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
