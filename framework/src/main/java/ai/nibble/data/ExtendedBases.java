package ai.nibble.data;

import ai.nibble.FileProblem;
import ai.nibble.InvalidInputException;
import ai.nibble.Sha256;
import ai.nibble.UserCache;
import ai.nibble.WholeDirectory;
import ai.nibble.WholeFile;
import ai.nibble.model.ExtendedBase;
import ai.nibble.model.ModelStore;
import ai.nibble.model.WeightSource;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;

/**
 * Directories of the user's cache that stand for bases with more tokens ({@link ExtendedBase}):
 * made once, named by what they hold.
 */
public final class ExtendedBases {
  private static final String KIND = "bases";
  private static final String TOKENIZER = "tokenizer.json";

  /** Files of a tokenizer, which go with an adapter that needs another than its base's. */
  public static final List<String> FILES =
      List.of(TOKENIZER, "tokenizer_config.json", "special_tokens_map.json");

  private ExtendedBases() {}

  /**
   * A base with new tokens.
   *
   * @throws InvalidInputException with a line for each token that cannot be added
   */
  public static Path of(Path base, NewTokens tokens) {
    Path directory = WeightSource.directory(base);
    TokenAddition.Result result = TokenAddition.of(directory, tokens);
    Map<String, byte[]> files = copied(directory);
    result.files().forEach((name, json) -> files.put(name, bytes(json)));
    int size = 1 + result.ids().values().stream().mapToInt(id -> id).max().orElse(-1);
    stopAt(tokens, result, directory, files);
    return staged(base, List.copyOf(result.ids().values()), size, files);
  }

  /**
   * The base that an adapter with its own tokenizer is used on; the base itself where the adapter
   * has none, or the base's.
   *
   * @param adapter its directory
   * @throws InvalidInputException if the adapter's tokenizer is another than the base's with more
   *     tokens
   */
  public static Path of(Path base, Path adapter) {
    Path directory = WeightSource.directory(base);
    Path own = adapter.resolve(TOKENIZER);
    if (!Files.isRegularFile(own) || !Files.isRegularFile(directory.resolve(TOKENIZER))) {
      return base;
    }
    Map<String, Integer> before = TokenizerFile.read(directory.resolve(TOKENIZER)).ids();
    TokenizerFile after = TokenizerFile.read(own);
    List<Integer> added = new ArrayList<>();
    after
        .ids()
        .forEach(
            (text, id) -> {
              if (!before.containsKey(text)) {
                added.add(id);
              }
            });
    before.forEach(
        (text, id) -> {
          if (!id.equals(after.ids().get(text))) {
            throw new InvalidInputException(
                own
                    + ": '"
                    + text
                    + "' is token "
                    + after.ids().get(text)
                    + " there and "
                    + id
                    + " of "
                    + base
                    + ", expected the base's tokenizer with tokens more: take the base that the"
                    + " adapter was trained on");
          }
        });
    if (added.isEmpty()) {
      return base;
    }
    Map<String, byte[]> files = copied(directory);
    for (String name : FILES) {
      if (Files.isRegularFile(adapter.resolve(name))) {
        files.put(name, read(adapter.resolve(name)));
      }
    }
    return staged(base, added.stream().sorted().toList(), after.vocabSize(), files);
  }

  private static Map<String, byte[]> copied(Path directory) {
    Map<String, byte[]> files = new LinkedHashMap<>();
    List<String> names = new ArrayList<>(ModelStore.COPIED);
    names.add(ModelStore.CONFIG);
    for (String name : names) {
      if (Files.isRegularFile(directory.resolve(name))) {
        files.put(name, read(directory.resolve(name)));
      }
    }
    return files;
  }

  /** Another end of answers counts in the model's configuration too, as transformers aligns it. */
  private static void stopAt(
      NewTokens tokens, TokenAddition.Result result, Path directory, Map<String, byte[]> files) {
    for (String role : List.of("bos_token", "eos_token")) {
      String text = tokens.roles().get(role);
      if (text == null) {
        continue;
      }
      int id =
          Optional.ofNullable(result.ids().get(text))
              .orElseGet(() -> TokenizerFile.read(directory.resolve(TOKENIZER)).ids().get(text));
      for (String name : List.of(ModelStore.CONFIG, "generation_config.json")) {
        if (files.containsKey(name)) {
          ObjectNode json = json(directory.resolve(name), files.get(name));
          json.put(role + "_id", id);
          files.put(name, bytes(json));
        }
      }
    }
  }

  private static Path staged(
      Path base, List<Integer> added, int tokens, Map<String, byte[]> files) {
    ObjectNode config = json(base, files.get(ModelStore.CONFIG));
    ObjectNode text = config.get("text_config") instanceof ObjectNode inner ? inner : config;
    int rows = Math.max(text.path("vocab_size").asInt(), tokens);
    text.put("vocab_size", rows);
    files.put(ModelStore.CONFIG, bytes(config));
    ExtendedBase extended = new ExtendedBase(base.toAbsolutePath().normalize(), added);
    files.put(ExtendedBase.NAME, extended.toJson().getBytes(StandardCharsets.UTF_8));
    Path directory = UserCache.directory(KIND).resolve(name(files));
    if (Files.isDirectory(directory)) {
      return directory;
    }
    try (WholeDirectory whole = WholeDirectory.create(directory, "NIBBLE_CACHE")) {
      for (Map.Entry<String, byte[]> file : files.entrySet()) {
        WholeFile.write(whole.path().resolve(file.getKey()), file.getValue());
      }
      whole.commit();
    } catch (IOException e) {
      if (!Files.isDirectory(directory)) { // else another process was first, with the same
        throw new InvalidInputException(
            directory
                + ": cannot be written: "
                + FileProblem.reason(e)
                + "; name another place for what is made once with NIBBLE_CACHE in the environment",
            e);
      }
    }
    return directory;
  }

  private static String name(Map<String, byte[]> files) {
    MessageDigest sum = Sha256.start();
    new TreeMap<>(files)
        .forEach(
            (name, content) -> {
              sum.update((name + "\0" + content.length + "\0").getBytes(StandardCharsets.UTF_8));
              sum.update(content);
            });
    return Sha256.hex(sum).substring(0, 32);
  }

  private static byte[] read(Path file) {
    try {
      return Files.readAllBytes(file);
    } catch (IOException e) {
      throw new InvalidInputException(file + " cannot be read: " + FileProblem.reason(e), e);
    }
  }

  private static ObjectNode json(Path place, byte[] content) {
    try {
      JsonNode json = JsonFiles.mapper().readTree(content);
      return (ObjectNode) json;
    } catch (IOException | ClassCastException e) {
      throw new InvalidInputException(place + ": is no JSON object: fetch its files again", e);
    }
  }

  private static byte[] bytes(ObjectNode json) {
    return (json.toPrettyString() + "\n").getBytes(StandardCharsets.UTF_8);
  }
}
