package ai.nibble.data.bpe;

import ai.nibble.FileProblem;
import ai.nibble.InvalidInputException;
import ai.nibble.WholeDirectory;
import ai.nibble.WholeFile;
import ai.nibble.data.ChatTemplate;
import ai.nibble.data.Tokenizer;
import ai.nibble.model.ModelStore;
import com.fasterxml.jackson.core.util.DefaultIndenter;
import com.fasterxml.jackson.core.util.DefaultPrettyPrinter;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;

/**
 * Writes a trained tokenizer as Hugging Face reads it: {@code tokenizer.json}, {@code
 * tokenizer_config.json} and, where there is a template, {@code chat_template.jinja} (older readers
 * take the template from the configuration, so it stands in both).
 */
public final class TokenizerFolder {
  private static final ObjectMapper MAPPER = new ObjectMapper();

  private TokenizerFolder() {}

  /**
   * Refuses a place that holds something already.
   *
   * @throws InvalidInputException where it exists
   */
  public static void requireNew(Path directory) {
    if (Files.exists(directory, LinkOption.NOFOLLOW_LINKS)) {
      throw new InvalidInputException(
          directory + " exists, expected a new directory: choose another, or remove it");
    }
  }

  /**
   * Writes the files beside, loads them as a check, and moves them into place.
   *
   * @param directory that does not exist yet
   * @throws InvalidInputException where it exists, a role names no special token, or the template
   *     does not compile
   * @throws UncheckedIOException where it cannot be written; nothing is left then
   */
  public static void write(Path directory, BpeVocabulary vocabulary, TokenizerSettings settings) {
    requireNew(directory);
    settings.requireSpecial(vocabulary.tokens().subList(0, vocabulary.special()));
    Path target = directory.toAbsolutePath();
    Path temporary = target.resolveSibling(".tmp-" + target.getFileName());
    try {
      remove(temporary);
      Files.createDirectories(temporary);
      writeFiles(temporary, vocabulary, settings);
      check(temporary, settings);
      WholeFile.move(temporary, target);
    } catch (IOException e) {
      throw new UncheckedIOException(directory + " cannot be written: " + FileProblem.reason(e), e);
    } finally {
      remove(temporary);
    }
  }

  private static void writeFiles(Path folder, BpeVocabulary vocabulary, TokenizerSettings settings)
      throws IOException {
    writeJson(folder.resolve("tokenizer.json"), tokenizer(vocabulary, settings.pattern()));
    writeJson(folder.resolve("tokenizer_config.json"), config(vocabulary, settings));
    if (settings.chatTemplate().isPresent()) {
      WholeFile.write(folder.resolve(ModelStore.CHAT_TEMPLATE), settings.chatTemplate().get());
    }
  }

  private static void check(Path folder, TokenizerSettings settings) {
    Tokenizer.load(folder).close();
    if (settings.chatTemplate().isPresent()) {
      ChatTemplate.load(folder, Map.of());
    }
  }

  private static void writeJson(Path file, ObjectNode json) throws IOException {
    DefaultPrettyPrinter printer = new DefaultPrettyPrinter();
    printer.indentArraysWith(DefaultIndenter.SYSTEM_LINEFEED_INSTANCE.withLinefeed("\n"));
    printer.indentObjectsWith(DefaultIndenter.SYSTEM_LINEFEED_INSTANCE.withLinefeed("\n"));
    WholeFile.write(file, MAPPER.writer(printer).writeValueAsString(json) + "\n");
  }

  private static ObjectNode tokenizer(BpeVocabulary vocabulary, SplitPattern pattern) {
    ObjectNode root = MAPPER.createObjectNode();
    root.put("version", "1.0").putNull("truncation").putNull("padding");
    ArrayNode added = root.putArray("added_tokens");
    for (int id = 0; id < vocabulary.special(); id++) {
      addedToken(added.addObject().put("id", id), vocabulary.tokens().get(id));
    }
    root.putNull("normalizer");
    ArrayNode steps =
        root.putObject("pre_tokenizer").put("type", "Sequence").putArray("pretokenizers");
    ObjectNode split = steps.addObject().put("type", "Split");
    split.putObject("pattern").put("Regex", pattern.regex());
    split.put("behavior", "Isolated").put("invert", false);
    byteLevel(steps.addObject());
    root.putNull("post_processor");
    byteLevel(root.putObject("decoder"));
    ObjectNode model = root.putObject("model").put("type", "BPE");
    for (String unused :
        List.of("dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix")) {
      model.putNull(unused);
    }
    model.put("fuse_unk", false).put("byte_fallback", false).put("ignore_merges", false);
    ObjectNode vocab = model.putObject("vocab");
    for (int id = 0; id < vocabulary.tokens().size(); id++) {
      vocab.put(vocabulary.tokens().get(id), id);
    }
    ArrayNode merges = model.putArray("merges");
    // No token holds a space: the alphabet has none.
    vocabulary.merges().forEach(merge -> merges.add(merge.left() + " " + merge.right()));
    return root;
  }

  private static void addedToken(ObjectNode token, String text) {
    token.put("content", text).put("single_word", false).put("lstrip", false);
    token.put("rstrip", false).put("normalized", false).put("special", true);
  }

  private static void byteLevel(ObjectNode step) {
    step.put("type", "ByteLevel").put("add_prefix_space", false);
    step.put("trim_offsets", true).put("use_regex", false);
  }

  private static ObjectNode config(BpeVocabulary vocabulary, TokenizerSettings settings) {
    ObjectNode config = MAPPER.createObjectNode();
    config.put("tokenizer_class", "PreTrainedTokenizerFast");
    config.put("add_bos_token", false).put("clean_up_tokenization_spaces", false);
    for (String role : TokenizerSettings.ROLES) {
      String token = settings.roles().get(role);
      if (token != null) {
        config.put(role, token);
      }
    }
    ObjectNode decoder = config.putObject("added_tokens_decoder");
    for (int id = 0; id < vocabulary.special(); id++) {
      addedToken(decoder.putObject(Integer.toString(id)), vocabulary.tokens().get(id));
    }
    settings.chatTemplate().ifPresent(template -> config.put("chat_template", template));
    return config;
  }

  private static void remove(Path folder) {
    try {
      WholeDirectory.delete(folder);
    } catch (IOException e) {
      throw new UncheckedIOException(folder + " cannot be removed: " + FileProblem.reason(e), e);
    }
  }
}
