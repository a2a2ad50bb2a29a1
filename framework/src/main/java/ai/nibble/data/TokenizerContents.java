package ai.nibble.data;

import ai.nibble.InvalidInputException;
import com.fasterxml.jackson.databind.JsonNode;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;

/**
 * What a {@code tokenizer.json} holds, for those who write a tokenizer in another form.
 *
 * @param modelType {@code BPE}, {@code Unigram}, {@code WordPiece} or {@code WordLevel}
 * @param byteFallback whether bytes without a token are spelled {@code <0xHH>}
 * @param tokens text by id, ascending; ids may be missing
 * @param added the tokens beside the model's own, among {@code tokens} too
 * @param merges each {@code left right}, the first with the highest priority; empty but for BPE
 * @param unknown the token of what no other token spells, where there is one
 * @param normalizer what changes text first; not an object where there is none
 * @param preTokenizer what then parts it into words; not an object where there is none
 */
public record TokenizerContents(
    String modelType,
    boolean byteFallback,
    Map<Integer, String> tokens,
    List<Added> added,
    List<String> merges,
    Optional<String> unknown,
    JsonNode normalizer,
    JsonNode preTokenizer) {

  /**
   * An added token.
   *
   * @param special whether it is a control token
   */
  public record Added(int id, String text, boolean special) {}

  /**
   * Reads the file of a model directory.
   *
   * @throws InvalidInputException where it is absent or malformed
   */
  public static TokenizerContents read(Path directory) {
    TokenizerFile file = TokenizerFile.read(directory.resolve("tokenizer.json"));
    JsonNode model = file.tree().get("model");
    Map<Integer, String> tokens = new TreeMap<>();
    file.ids().forEach((text, id) -> tokens.put(id, text));
    return new TokenizerContents(
        model.path("type").asText("BPE"),
        model.path("byte_fallback").asBoolean(false),
        Collections.unmodifiableMap(tokens),
        file.added().stream().map(a -> new Added(a.id(), a.text(), a.special())).toList(),
        merges(model.path("merges")),
        Optional.ofNullable(model.path("unk_token").textValue()),
        file.outline().path("normalizer"),
        file.outline().path("pre_tokenizer"));
  }

  private static List<String> merges(JsonNode list) {
    List<String> merges = new ArrayList<>(list.size());
    for (JsonNode merge : list) {
      // the older form is one text, the newer a pair
      merges.add(
          merge.isArray() ? merge.get(0).asText() + " " + merge.get(1).asText() : merge.asText());
    }
    return Collections.unmodifiableList(merges);
  }
}
