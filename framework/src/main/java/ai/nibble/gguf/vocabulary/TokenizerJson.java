package ai.nibble.gguf.vocabulary;

import ai.nibble.InvalidInputException;
import ai.nibble.gguf.GgufMetadata;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;

/**
 * A GGUF file's tokenizer in Hugging Face's words. Tokens keep their ids; control tokens become
 * special added tokens, user-defined ones plain added tokens, which the library finds in a text
 * before all else, as llama.cpp does.
 */
public final class TokenizerJson {
  /** Names by which {@code tokenizer_config.json} calls the roles of tokens. */
  private static final Map<String, String> ROLES = new LinkedHashMap<>();

  static {
    ROLES.put("bos_token", "bos");
    ROLES.put("eos_token", "eos");
    ROLES.put("unk_token", "unknown");
    ROLES.put("pad_token", "padding");
  }

  private final Vocabulary vocabulary;
  private final Form form;

  /** What a kind of tokenizer needs beside its tokens. */
  interface Form {
    /** Sets {@code normalizer}, {@code pre_tokenizer}, {@code decoder} and {@code model}. */
    void describe(ObjectNode tokenizer);

    /** Whether the token is left out: a place in the table that stands for nothing. */
    boolean leavesOut(int id);

    /** A token's text as the library has it. */
    String text(int id);

    /** Whether an added token takes the white space behind it. */
    default boolean stripsRight(int id) {
      return false;
    }

    /** Whether plain text begins with the beginning-of-sequence token where the file is silent. */
    boolean addsBos();
  }

  private TokenizerJson(Vocabulary vocabulary, Form form) {
    this.vocabulary = vocabulary;
    this.form = form;
  }

  /**
   * Reads a file's tokenizer.
   *
   * @param architecture the file's {@code general.architecture}
   * @throws InvalidInputException where it has none, one of a kind that is not supported, or one
   *     whose parts do not fit
   */
  public static TokenizerJson read(GgufMetadata metadata, String architecture) {
    String model = metadata.getString(Vocabulary.MODEL);
    Vocabulary vocabulary = Vocabulary.read(metadata);
    return switch (model) {
      case "gpt2" -> new TokenizerJson(vocabulary, new ByteLevelForm(vocabulary));
      case "llama" ->
          new TokenizerJson(vocabulary, new SentencePieceForm(vocabulary, architecture));
      default ->
          throw metadata.bad(
              Vocabulary.MODEL,
              "is '"
                  + model
                  + "', expected gpt2 (byte-level BPE) or llama (SentencePiece): put the original"
                  + " model's config.json and tokenizer.json beside the file");
    };
  }

  /** {@code tokenizer.json}. */
  public ObjectNode tokenizer() {
    ObjectNode json = JsonNodeFactory.instance.objectNode().put("version", "1.0");
    json.putNull("truncation");
    json.putNull("padding");
    ArrayNode added = json.putArray("added_tokens");
    for (int id = 0; id < vocabulary.size(); id++) {
      boolean control =
          vocabulary.isOfType(id, Vocabulary.CONTROL)
              || vocabulary.isOfType(id, Vocabulary.UNKNOWN);
      if (control || vocabulary.isOfType(id, Vocabulary.USER_DEFINED)) {
        added
            .addObject()
            .put("id", id)
            .put("content", form.text(id))
            .put("single_word", false)
            .put("lstrip", false)
            .put("rstrip", form.stripsRight(id))
            .put("normalized", false)
            .put("special", control);
      }
    }
    form.describe(json);
    json.set("post_processor", template());
    ObjectNode model = (ObjectNode) json.remove("model"); // by custom the last, and long
    ObjectNode tokens = model.putObject("vocab");
    for (int id = 0; id < vocabulary.size(); id++) {
      if (!form.leavesOut(id)) {
        tokens.put(form.text(id), id);
      }
    }
    model.set("merges", model.remove("merges"));
    json.set("model", model);
    return json;
  }

  /** {@code tokenizer_config.json}. */
  public ObjectNode config(long contextLength) {
    ObjectNode json = JsonNodeFactory.instance.objectNode();
    json.put("add_bos_token", addsBos());
    json.put("add_eos_token", addsEos());
    ROLES.forEach((name, role) -> id(role).ifPresent(id -> json.put(name, form.text(id))));
    json.put("clean_up_tokenization_spaces", false);
    json.put("model_max_length", contextLength);
    json.put("tokenizer_class", "PreTrainedTokenizerFast");
    return json;
  }

  /** The chat template, where the file has one. */
  public Optional<String> chatTemplate() {
    return template("tokenizer.chat_template");
  }

  /** The template for conversations with tools, where the file has one of its own for them. */
  public Optional<String> toolTemplate() {
    return template("tokenizer.chat_template.tool_use");
  }

  private Optional<String> template(String key) {
    GgufMetadata metadata = vocabulary.metadata();
    return metadata.contains(key) ? Optional.of(metadata.getString(key)) : Optional.empty();
  }

  private Optional<Integer> id(String role) {
    return vocabulary.role(role).stream().boxed().findFirst();
  }

  private boolean addsBos() {
    return id("bos").isPresent() && vocabulary.flag("add_bos_token", form.addsBos());
  }

  private boolean addsEos() {
    return id("eos").isPresent() && vocabulary.flag("add_eos_token", false);
  }

  /** What stands around a text where {@code add_special_tokens} is asked for. */
  private ObjectNode template() {
    ObjectNode json = JsonNodeFactory.instance.objectNode().put("type", "TemplateProcessing");
    ArrayNode single = json.putArray("single");
    sequence(single, "A", 0);
    ArrayNode pair = json.putArray("pair");
    sequence(pair, "A", 0);
    sequence(pair, "B", 1);
    ObjectNode tokens = json.putObject("special_tokens");
    if (addsBos()) {
      define(tokens, id("bos").orElseThrow());
    }
    if (addsEos()) {
      define(tokens, id("eos").orElseThrow());
    }
    return json;
  }

  private void sequence(ArrayNode pieces, String name, int type) {
    if (addsBos()) {
      special(pieces, "bos", type);
    }
    pieces.addObject().putObject("Sequence").put("id", name).put("type_id", type);
    if (addsEos()) {
      special(pieces, "eos", type);
    }
  }

  private void special(ArrayNode pieces, String role, int type) {
    String text = form.text(id(role).orElseThrow());
    pieces.addObject().putObject("SpecialToken").put("id", text).put("type_id", type);
  }

  private void define(ObjectNode tokens, int id) {
    ObjectNode token = tokens.putObject(form.text(id)).put("id", form.text(id));
    token.putArray("ids").add(id);
    token.putArray("tokens").add(form.text(id));
  }
}
