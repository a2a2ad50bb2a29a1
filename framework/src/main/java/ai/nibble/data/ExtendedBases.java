package ai.nibble.data;

import ai.nibble.FileProblem;
import ai.nibble.InvalidInputException;
import ai.nibble.Sha256;
import ai.nibble.UserCache;
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
import java.util.Arrays;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
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
    Map<String, byte[]> files = copied(directory);
    Path staged = place(base, files, tokens.toString());
    if (Files.isDirectory(staged)) {
      return staged;
    }
    TokenAddition.Result result = TokenAddition.of(directory, tokens);
    result.files().forEach((name, json) -> files.put(name, bytes(json)));
    int size = 1 + result.ids().values().stream().mapToInt(id -> id).max().orElse(-1);
    Map<String, Integer> ids = new HashMap<>(result.ids());
    TokenizerFile.read(directory.resolve(TOKENIZER)).ids().forEach(ids::putIfAbsent);
    beginAndStopAt(tokens.roles(), ids, directory, files);
    write(staged, base, List.copyOf(result.ids().values()), size, files);
    return staged;
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
    Map<String, byte[]> files = copied(directory);
    if (Arrays.equals(files.get(TOKENIZER), read(own))) {
      return base;
    }
    for (String name : FILES) {
      if (Files.isRegularFile(adapter.resolve(name))) {
        files.put(name, read(adapter.resolve(name)));
      }
    }
    Path staged = place(base, files, "");
    if (Files.isDirectory(staged)) {
      return staged;
    }
    TokenizerFile after = TokenizerFile.read(own);
    List<Integer> added = added(base, directory.resolve(TOKENIZER), after);
    Map<String, String> roles = new HashMap<>(SpecialTokens.read(adapter).texts());
    roles.entrySet().removeAll(SpecialTokens.read(directory).texts().entrySet());
    if (added.isEmpty() && roles.isEmpty()) {
      return base;
    }
    beginAndStopAt(roles, after.ids(), directory, files);
    write(staged, base, added, after.vocabSize(), files);
    return staged;
  }

  /**
   * The tokens that such a base has more than the one whose weights it has, by text, in the order
   * of their ids; none for any other base.
   */
  public static Map<String, Integer> added(Path base) {
    Set<Integer> ids = ExtendedBase.read(base).map(b -> Set.copyOf(b.newTokens())).orElse(Set.of());
    Map<String, Integer> added = new LinkedHashMap<>();
    if (!ids.isEmpty()) {
      TokenizerFile.read(base.resolve(TOKENIZER)).ids().entrySet().stream()
          .filter(token -> ids.contains(token.getValue()))
          .sorted(Map.Entry.comparingByValue())
          .forEach(token -> added.put(token.getKey(), token.getValue()));
    }
    return added;
  }

  /**
   * The base that several adapters are used on at once: with all tokens that one of them has more,
   * where the others' are among these.
   *
   * @param adapters their directories
   * @throws InvalidInputException if two have tokens that do not go together, or as {@link
   *     #of(Path, Path)}
   */
  public static Path of(Path base, List<Path> adapters) {
    Path tokenizer = WeightSource.directory(base).resolve(TOKENIZER);
    Map<Path, TokenizerFile> own = new LinkedHashMap<>();
    for (Path adapter : adapters) {
      Path file = adapter.resolve(TOKENIZER);
      if (Files.isRegularFile(file)
          && Files.isRegularFile(tokenizer)
          && !Arrays.equals(read(file), read(tokenizer))) {
        own.put(adapter, TokenizerFile.read(file));
      }
    }
    Path most = null;
    for (Path adapter : own.keySet()) {
      if (most == null || own.get(adapter).ids().size() > own.get(most).ids().size()) {
        most = adapter;
      }
    }
    for (Map.Entry<Path, TokenizerFile> each : own.entrySet()) {
      requireAmong(each.getKey(), each.getValue(), most, own.get(most));
    }
    return most == null ? base : of(base, most);
  }

  private static void requireAmong(
      Path adapter, TokenizerFile few, Path other, TokenizerFile many) {
    for (Map.Entry<String, Integer> token : few.ids().entrySet()) {
      Integer id = many.ids().get(token.getKey());
      if (!token.getValue().equals(id)) {
        throw new InvalidInputException(
            adapter
                + " and "
                + other
                + " add tokens that do not go together: '"
                + token.getKey()
                + "' is token "
                + token.getValue()
                + " of the first and "
                + (id == null ? "none" : id)
                + " of the second; one model has one tokenizer: use them one at a time, or train"
                + " both with the same tokens in the same order");
      }
    }
  }

  /** Ids of the tokens that a tokenizer has more than a base's, ascending. */
  private static List<Integer> added(Path base, Path tokenizer, TokenizerFile after) {
    Map<String, Integer> before = TokenizerFile.read(tokenizer).ids();
    for (Map.Entry<String, Integer> token : before.entrySet()) {
      Integer id = after.ids().get(token.getKey());
      if (!token.getValue().equals(id)) {
        throw new InvalidInputException(
            after.path()
                + ": '"
                + token.getKey()
                + "' is "
                + (id == null ? "no token" : "token " + id)
                + " there and token "
                + token.getValue()
                + " of "
                + base
                + ", expected the base's tokenizer with tokens more: take the base that the"
                + " adapter was trained on");
      }
    }
    return after.ids().entrySet().stream()
        .filter(token -> !before.containsKey(token.getKey()))
        .map(Map.Entry::getValue)
        .sorted()
        .toList();
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
  private static void beginAndStopAt(
      Map<String, String> roles,
      Map<String, Integer> ids,
      Path directory,
      Map<String, byte[]> files) {
    for (String role : List.of("bos_token", "eos_token")) {
      if (!roles.containsKey(role)) {
        continue;
      }
      for (String name : List.of(ModelStore.CONFIG, "generation_config.json")) {
        if (files.containsKey(name)) {
          ObjectNode json = json(directory.resolve(name), files.get(name));
          json.put(role + "_id", ids.get(roles.get(role)));
          files.put(name, bytes(json));
        }
      }
    }
  }

  private static void write(
      Path directory, Path base, List<Integer> added, int tokens, Map<String, byte[]> files) {
    ObjectNode config = json(base, files.get(ModelStore.CONFIG));
    ObjectNode text = config.get("text_config") instanceof ObjectNode inner ? inner : config;
    int rows = Math.max(text.path("vocab_size").asInt(), tokens);
    text.put("vocab_size", rows);
    files.put(ModelStore.CONFIG, bytes(config));
    ExtendedBase extended = new ExtendedBase(base.toAbsolutePath().normalize(), added);
    files.put(ExtendedBase.NAME, extended.toJson().getBytes(StandardCharsets.UTF_8));
    UserCache.make(
        directory,
        path -> {
          for (Map.Entry<String, byte[]> file : files.entrySet()) {
            WholeFile.write(path.resolve(file.getKey()), file.getValue());
          }
        });
  }

  /**
   * Where a base with more tokens lies, by all that it is made of: so that it is found again
   * without a tokenizer being parsed.
   */
  private static Path place(Path base, Map<String, byte[]> files, String more) {
    MessageDigest sum = Sha256.start();
    String where = base.toAbsolutePath().normalize() + "\0" + more;
    sum.update(where.getBytes(StandardCharsets.UTF_8));
    new TreeMap<>(files)
        .forEach(
            (name, content) -> {
              sum.update((name + "\0" + content.length + "\0").getBytes(StandardCharsets.UTF_8));
              sum.update(content);
            });
    return UserCache.directory(KIND).resolve(Sha256.hex(sum).substring(0, 32));
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
