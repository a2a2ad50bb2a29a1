package ai.nibble.data;

import ai.nibble.InvalidInputException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * A {@code tokenizer.json}, checked. The native library ends the process, uncatchably, on several
 * kinds of malformed file, so whatever is known to do that is refused here first.
 *
 * @param root the whole file
 * @param ids of every token, the model's and the added ones
 * @param added the added tokens in the file's order
 * @param vocabSize highest id + 1
 */
record TokenizerFile(
    Path path, ObjectNode root, Map<String, Integer> ids, List<AddedToken> added, int vocabSize) {

  /**
   * @param special whether the library calls it special: a control token, such as the end of a turn
   */
  record AddedToken(String text, int id, boolean special) {}

  static TokenizerFile read(Path path) {
    ObjectNode root = (ObjectNode) JsonFiles.tree(path);
    UnicodeCheck.check(path, "", root);
    JsonNode model = root.get("model");
    if (model == null || !model.isObject() || !model.has("vocab")) {
      throw new InvalidInputException(path + ": 'model' has no 'vocab', expected a tokenizer");
    }
    Map<String, Integer> ids = new HashMap<>();
    Map<Integer, String> texts = new HashMap<>();
    readVocab(path, model.get("vocab"), ids, texts);
    int modelSize = ids.size();
    List<AddedToken> added = readAdded(path, root.get("added_tokens"), ids, texts, modelSize);
    MergeCheck.check(path, model, ids);
    ComponentCheck.check(path, root);
    int size = texts.keySet().stream().mapToInt(Integer::intValue).max().orElse(-1) + 1;
    return new TokenizerFile(path, root, ids, added, size);
  }

  private static void readVocab(
      Path path, JsonNode vocab, Map<String, Integer> ids, Map<Integer, String> texts) {
    if (vocab.isObject()) {
      for (Map.Entry<String, JsonNode> entry : vocab.properties()) {
        put(path, "vocab", entry.getKey(), entry.getValue(), ids, texts);
      }
      return;
    }
    if (!vocab.isArray()) {
      throw new InvalidInputException(path + ": 'vocab' is neither an object nor a list");
    }
    for (int i = 0; i < vocab.size(); i++) {
      JsonNode piece = vocab.get(i);
      if (!piece.isArray()
          || piece.size() != 2
          || !piece.get(0).isTextual()
          || !piece.get(1).isNumber()) {
        throw new InvalidInputException(
            path + ": vocab[" + i + "] is " + JsonFiles.shown(piece) + ", expected [piece, score]");
      }
      // A Unigram vocabulary may repeat a piece; the later index wins, as in the library.
      ids.put(piece.get(0).asText(), i);
      texts.put(i, piece.get(0).asText());
    }
  }

  private static void put(
      Path path,
      String where,
      String text,
      JsonNode id,
      Map<String, Integer> ids,
      Map<Integer, String> texts) {
    if (!id.isIntegralNumber() || !id.canConvertToInt() || id.asInt() < 0) {
      throw new InvalidInputException(
          path
              + ": "
              + where
              + ": token '"
              + JsonFiles.shown(text)
              + "' has id "
              + JsonFiles.shown(id)
              + ", expected 0 or above");
    }
    String other = texts.put(id.asInt(), text);
    if (other != null && !other.equals(text)) {
      throw new InvalidInputException(
          path
              + ": "
              + where
              + ": tokens '"
              + JsonFiles.shown(other)
              + "' and '"
              + JsonFiles.shown(text)
              + "' both have id "
              + id
              + ", expected one token an id");
    }
    ids.put(text, id.asInt());
  }

  private static List<AddedToken> readAdded(
      Path path,
      JsonNode list,
      Map<String, Integer> ids,
      Map<Integer, String> texts,
      int modelSize) {
    List<AddedToken> added = new ArrayList<>();
    int highest = -1;
    for (JsonNode each : list == null || list.isNull() ? List.<JsonNode>of() : list) {
      if (!each.path("content").isTextual() || each.path("content").asText().isEmpty()) {
        throw new InvalidInputException(
            path + ": added_tokens: " + JsonFiles.shown(each) + " has no 'content'");
      }
      String text = each.get("content").asText();
      Integer known = ids.get(text);
      put(path, "added_tokens", text, each.path("id"), ids, texts);
      int id = each.get("id").asInt();
      // The library ignores the id in the file and counts on; where the two differ, whatever was
      // trained would be saved under other ids than the file says.
      int given = known != null ? known : Math.max(highest + 1, modelSize);
      if (given != id) {
        throw new InvalidInputException(
            path
                + ": added_tokens: '"
                + JsonFiles.shown(text)
                + "' has id "
                + id
                + ", expected "
                + given
                + (known != null ? ", its id in the vocabulary" : ", the next free one"));
      }
      highest = Math.max(highest, id);
      added.add(new AddedToken(text, id, each.path("special").asBoolean(false)));
    }
    return List.copyOf(added);
  }
}
