package ai.nibble.cli;

import ai.nibble.data.EncodingSummary;
import ai.nibble.data.PackingSummary;
import ai.nibble.recipe.Coverage;
import ai.nibble.recipe.Inspection;
import ai.nibble.recipe.Recipe;
import ai.nibble.recipe.TokenSummary;
import ai.nibble.recipe.TokenText;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.List;

/** An inspection for programs: docs/inspect.md describes it. */
final class InspectJson {
  private static final JsonMapper JSON = JsonMapper.builder().build();

  private InspectJson() {}

  static ObjectNode of(Inspection found, Recipe recipe) {
    ObjectNode root = JSON.createObjectNode();
    root.put("base_model", recipe.baseModel().toString());
    coverage(root.putObject("trained"), found.coverage());
    root.set("vocabulary", JSON.valueToTree(PlanText.vocabulary(found.vocabulary())));
    rows(root.putObject("rows"), found);
    lengths(root.putObject("lengths"), found.tokens(), recipe.data().sequenceLen());
    turns(root.putObject("turns"), found.tokens());
    bos(root.putObject("bos"), found.tokens());
    found.packing().ifPresent(packing -> packing(root.putObject("packing"), packing));
    root.putObject("steps")
        .put("per_epoch", found.stepsPerEpoch())
        .put("total", found.totalSteps());
    samples(root.putArray("samples"), found.samples());
    ArrayNode warnings = root.putArray("warnings");
    InspectText.warnings(found).forEach(warnings::add);
    ArrayNode notes = root.putArray("notes");
    found.notes().forEach(notes::add);
    return root;
  }

  private static void coverage(ObjectNode node, Coverage coverage) {
    node.put("layers", coverage.layers());
    node.put("base_parameters", coverage.baseParameters());
    node.put("parameters", coverage.parameters());
    node.put("share", coverage.share());
    ArrayNode modules = node.putArray("modules");
    for (Coverage.Module module : coverage.modules()) {
      ObjectNode entry = modules.addObject();
      entry.put("name", module.name());
      entry.put("adapted", module.adapted());
      entry.put("count", module.count());
      module.ranks().forEach(entry.putArray("ranks")::add);
      entry.put("parameters", module.parameters());
    }
  }

  private static void rows(ObjectNode node, Inspection found) {
    node.put("train", found.tokens().rows());
    node.put("eval", found.evalRows());
    node.put("tokens", found.tokens().tokens());
    node.put("loss_tokens", found.tokens().lossTokens());
    node.put("too_long_left_out", InspectText.sum(found, EncodingSummary::tooLong));
    node.put("too_long_cut", InspectText.sum(found, EncodingSummary::truncated));
    node.put("without_loss_left_out", InspectText.sum(found, EncodingSummary::withoutLoss));
  }

  private static void lengths(ObjectNode node, TokenSummary tokens, int sequenceLen) {
    node.put("shortest", tokens.length(0));
    node.put("median", tokens.length(0.5));
    node.put("p95", tokens.length(0.95));
    node.put("longest", tokens.length(1));
    node.put("sequence_len", sequenceLen);
    ArrayNode bins = node.putArray("histogram");
    for (LengthHistogram.Bin bin : new LengthHistogram(tokens.lengths()).bins()) {
      bins.addObject().put("from", bin.from()).put("to", bin.to()).put("rows", bin.rows());
    }
  }

  private static void turns(ObjectNode node, TokenSummary tokens) {
    node.put("trained", tokens.turns());
    node.put("without_end", tokens.withoutEnd());
    ObjectNode ends = node.putObject("ends");
    tokens.ends().forEach(ends::put);
  }

  private static void bos(ObjectNode node, TokenSummary tokens) {
    node.put("token", tokens.bos());
    node.put("rows", tokens.bosRows());
    node.put("doubled", tokens.doubledBosRows());
  }

  private static void packing(ObjectNode node, PackingSummary packing) {
    node.put("packs", packing.packs());
    node.put("capacity", packing.capacity());
    node.put("fill", packing.fill());
  }

  private static void samples(ArrayNode node, List<List<TokenText>> samples) {
    for (List<TokenText> sample : samples) {
      ArrayNode row = node.addArray();
      for (TokenText token : sample) {
        ObjectNode entry = row.addObject();
        entry.put("id", token.id());
        entry.put("text", token.text());
        entry.put("trained", token.trained());
        entry.put("control", token.control());
      }
    }
  }
}
