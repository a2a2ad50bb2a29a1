package ai.nibble.hub;

import ai.nibble.InvalidInputException;
import ai.nibble.gguf.GgufFile;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;

/**
 * Which files of a repository make a model: configuration, tokenizer and safetensors, or GGUF files
 * alone, which hold all that themselves. Not fetched are the weights' other forms, above all
 * pickle, and what is for people.
 */
final class ModelSelection {
  static final String INDEX = "model.safetensors.index.json";
  private static final String WEIGHTS = "model.safetensors";
  private static final String CONFIG = "config.json";

  /** What stands beside weights, by the names that are read. */
  private static final Set<String> BESIDE =
      Set.of(
          CONFIG,
          "generation_config.json",
          "tokenizer.json",
          "tokenizer_config.json",
          "special_tokens_map.json",
          "added_tokens.json",
          "tokenizer.model",
          "vocab.json",
          "merges.txt",
          "chat_template.jinja",
          "chat_template.json",
          "additional_chat_templates/tool_use.jinja",
          "quantize_config.json",
          "quant_config.json");

  private static final JsonMapper JSON = JsonMapper.builder().build();

  private ModelSelection() {}

  /**
   * The files of a model but its shards, which its index names.
   *
   * @param names of all files of the repository
   * @throws InvalidInputException where they make no model, or more than one
   */
  static List<String> first(HubId id, Collection<String> names) {
    if (id.file().isPresent()) {
      return parts(id, names, id.file().get());
    }
    List<String> files = new ArrayList<>(names.stream().filter(BESIDE::contains).sorted().toList());
    if (names.contains(INDEX)) {
      files.add(INDEX);
    } else if (names.contains(WEIGHTS)) {
      files.add(WEIGHTS);
    } else {
      List<String> other = names.stream().filter(ModelSelection::isSafetensors).sorted().toList();
      if (other.isEmpty()) {
        return onlyGguf(id, names);
      }
      files.addAll(other);
    }
    if (!names.contains(CONFIG)) {
      throw new InvalidInputException(
          id + ": has no " + CONFIG + ", expected a model for transformers or a GGUF file");
    }
    return files;
  }

  /** Those in folders are other forms of the model, or parts of a larger one. */
  private static boolean isSafetensors(String name) {
    return name.endsWith(".safetensors") && name.indexOf('/') < 0 && !name.startsWith("adapter_");
  }

  private static List<String> onlyGguf(HubId id, Collection<String> names) {
    List<String> files = names.stream().filter(name -> name.endsWith(".gguf")).sorted().toList();
    if (files.isEmpty()) {
      boolean pickle = names.stream().anyMatch(name -> name.matches(".*\\.(bin|pt|pth|ckpt|pkl)"));
      throw new InvalidInputException(
          id
              + (pickle
                  ? ": has its weights as pickle only, which is not loaded: convert them to"
                      + " safetensors, or use a repository that has them"
                  : ": has no safetensors and no GGUF file, expected a model"));
    }
    Set<String> models = new TreeSet<>();
    files.forEach(name -> models.add(partsOf(name).get(0)));
    if (models.size() > 1) {
      throw new InvalidInputException(
          id
              + ": has "
              + models.size()
              + " GGUF models, expected the name of one behind the id, such as "
              + id.withFile(models.iterator().next())
              + "; there are "
              + models);
    }
    return parts(id, names, models.iterator().next());
  }

  private static List<String> parts(HubId id, Collection<String> names, String file) {
    List<String> parts = partsOf(file);
    for (String part : parts) {
      if (!names.contains(part)) {
        throw new InvalidInputException(
            id
                + ": has no file "
                + RepoPath.shown(part)
                + ", expected one of "
                + names.stream().filter(name -> name.endsWith(".gguf")).sorted().toList());
      }
    }
    return parts;
  }

  private static List<String> partsOf(String file) {
    return GgufFile.files(Path.of(file)).stream()
        .map(part -> part.toString().replace('\\', '/'))
        .toList();
  }

  /**
   * The shards that a model's index names.
   *
   * @param index the file
   * @throws InvalidInputException where it is no index, or names files that cannot be
   */
  static List<String> shards(HubId id, Path index) {
    try {
      Set<String> shards = new TreeSet<>();
      for (JsonNode shard : JSON.readTree(index.toFile()).path("weight_map")) {
        shards.add(shard.asText());
      }
      for (String shard : shards) {
        RepoPath.require(id.toString(), shard);
        if (!isSafetensors(shard)) {
          throw new InvalidInputException(
              id + ": " + INDEX + " names " + RepoPath.shown(shard) + ", expected .safetensors");
        }
      }
      return List.copyOf(shards);
    } catch (IOException e) {
      throw new InvalidInputException(id + ": " + INDEX + " is no index of weights", e);
    }
  }

  /**
   * What of a model a snapshot lacks, as far as that can be told without the hub; empty where it is
   * whole.
   */
  static List<String> missing(HubId id, Path snapshot) {
    if (id.file().isPresent()) {
      return absent(snapshot, partsOf(id.file().get()));
    }
    Optional<String> gguf = gguf(snapshot);
    if (gguf.isPresent()) {
      return absent(snapshot, partsOf(gguf.get()));
    }
    Set<String> names = names(snapshot);
    List<String> files = new ArrayList<>(List.of(CONFIG));
    if (names.contains(INDEX)) {
      files.addAll(shards(id, snapshot.resolve(INDEX)));
    } else if (names.stream().noneMatch(ModelSelection::isSafetensors)) {
      files.add(WEIGHTS);
    }
    if (!names.contains("tokenizer.model")) {
      files.add("tokenizer.json");
    }
    return absent(snapshot, files);
  }

  /** The GGUF file, or the first part, of a snapshot that has one model in that form alone. */
  static Optional<String> gguf(Path snapshot) {
    Set<String> names = names(snapshot);
    List<String> files = names.stream().filter(name -> name.endsWith(".gguf")).sorted().toList();
    boolean one =
        !names.contains(CONFIG) && !files.isEmpty() && partsOf(files.get(0)).containsAll(files);
    return one ? Optional.of(partsOf(files.get(0)).get(0)) : Optional.empty();
  }

  private static List<String> absent(Path snapshot, List<String> files) {
    return files.stream().filter(name -> !Files.isRegularFile(snapshot.resolve(name))).toList();
  }

  private static Set<String> names(Path snapshot) {
    String[] names = snapshot.toFile().list();
    return names == null ? Set.of() : Set.of(names);
  }
}
