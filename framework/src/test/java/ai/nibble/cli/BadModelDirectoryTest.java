package ai.nibble.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.TinyChat;
import ai.nibble.cli.Refusals.Reader;
import ai.nibble.export.merge.TinyAdapter;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Directories that hold no model, or one whose parts contradict each other, as commands see it. */
class BadModelDirectoryTest {
  @TempDir Path temp;
  private Path base;
  private Refusals refusals;

  @BeforeEach
  void writeABase() throws IOException {
    base = TinyChat.write(temp.resolve("base"));
    refusals = new Refusals(temp);
  }

  private Path config() {
    return base.resolve("config.json");
  }

  private void config(String from, String to) throws IOException {
    String text = Files.readString(config());
    assertTrue(text.contains(from), text);
    Files.writeString(config(), text.replace(from, to));
  }

  /** A field of config.json with another value, or one more. */
  private void field(String key, String value) throws IOException {
    String text = Files.readString(config());
    String field = "\"" + key + "\": ";
    Files.writeString(
        config(),
        text.contains(field)
            ? text.replaceFirst(field + "(\"[^\"]*\"|[^,}\\]\\[]+)", field + value)
            : text.replaceFirst("\\{", "{" + field + value + ", "));
  }

  private void refuses(String... parts) throws IOException {
    refusals.each(Reader.ALL, base, parts);
  }

  /** Every command that takes a base, with whatever else it must have. */
  private Map<String, String[]> commands(Path of) throws IOException {
    Path adapter =
        Files.exists(temp.resolve("adapter"))
            ? temp.resolve("adapter")
            : TinyAdapter.plain(1).write(temp.resolve("adapter"));
    Path text = Files.writeString(temp.resolve("text.txt"), "some text\n");
    String model = of.toString();
    String written = refusals.output().toString();
    Map<String, String[]> commands = new TreeMap<>();
    for (Reader reader : Reader.ALL) {
      commands.put(reader.toString(), refusals.reading(reader, of));
    }
    commands.put("plan", new String[] {"plan", "--config", refusals.recipe(of, "lora").toString()});
    commands.put("chat", new String[] {"chat", "--model", model});
    commands.put(
        "evaluate", new String[] {"evaluate", "--model", model, "--task", "perplexity=" + text});
    commands.put("quality", new String[] {"quality", "--model", model, "--text", text.toString()});
    commands.put("export", new String[] {"export", "--model", model, "--out", written + ".gguf"});
    commands.put(
        "merge",
        new String[] {
          "merge", "--model", model, "--adapter", adapter.toString(), "--output", written
        });
    commands.put(
        "extract",
        new String[] {
          "extract", "--model", model, "--tuned", model, "--rank", "2", "--output", written
        });
    return commands;
  }

  private void everyCommandSays(Path of, String... parts) throws IOException {
    for (Map.Entry<String, String[]> command : commands(of).entrySet()) {
      List<String> lines = refusals.of(command.getValue());
      for (String part : parts) {
        assertTrue(
            lines.stream().anyMatch(line -> line.contains(part)),
            command.getKey() + " says\n" + String.join("\n", lines) + "\nexpected " + part);
      }
    }
  }

  @Test
  void nothingAnEmptyDirectoryAndAFileAreToldApartByEveryCommand() throws IOException {
    Path none = temp.resolve("none");
    for (Map.Entry<String, String[]> command : commands(none).entrySet()) {
      String lines = String.join("\n", refusals.of(command.getValue()));
      boolean said =
          lines.contains(none + ": there is no such model")
              || lines.contains("nothing at '" + none + "'")
              || lines.contains(none + ": there is no such recipe or model");
      assertTrue(said, command.getKey() + ": " + lines);
      assertFalse(lines.contains("empty"), lines);
    }
    Path empty = Files.createDirectory(temp.resolve("void"));
    everyCommandSays(empty, empty.toString(), "is an empty directory");
    Path file = Files.writeString(temp.resolve("notes.txt"), "a: 1\n");
    Map<String, String[]> commands = commands(file);
    commands.remove("INSPECT"); // to it a file of another kind is a recipe
    for (Map.Entry<String, String[]> command : commands.entrySet()) {
      String lines = String.join("\n", refusals.of(command.getValue()));
      boolean said =
          lines.contains(file + ": is a file, expected a directory")
              || lines.contains("'" + file + "' is another kind of file");
      assertTrue(said, command.getKey() + ": " + lines);
      assertFalse(lines.contains("empty"), lines);
    }
  }

  @Test
  void aDirectoryWithoutConfigurationSaysThatThatIsMissing() throws IOException {
    Files.delete(config());
    everyCommandSays(base, "config.json", "expected");
    Files.createDirectory(config());
    refuses("config.json", "not a file");
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "{\"model_type\": \"llama\"|line 1, column|close marker for Object",
        "{\"a\": 1} {\"b\": 2}|line 1, column|text follows the value",
        "{\"a\": 1, \"a\": 2}|line 1, column|Duplicate field 'a'",
        "{\"a\": tru}|line 1, column|Unrecognized token 'tru'",
        "[1, 2]|holds a JSON array|expected a JSON object",
        "''|holds nothing|expected a JSON object",
        "null|holds a JSON null|expected a JSON object"
      })
  void aConfigurationThatIsNoObjectIsRefused(String text, String place, String problem)
      throws IOException {
    Files.writeString(config(), text);
    refuses(config() + ": ", place, problem);
  }

  @Test
  void nestingWithoutEndAndBytesOfOtherEncodingsAreRefused() throws IOException {
    Files.writeString(config(), "[".repeat(200_000));
    refuses(config() + ": ", "not valid JSON", "nesting depth");
    Files.writeString(config(), "{\"a\": " + "{\"a\": ".repeat(200_000));
    refuses(config() + ": ", "not valid JSON", "nesting depth");
    Files.write(config(), new byte[] {'{', '"', (byte) 0xff, '"', ':', '1', '}'});
    refuses(config() + ": ", "Invalid UTF-8");
    Files.writeString(config(), "{\"a\": \"" + "y".repeat(17 << 20) + "\"}");
    refuses(config() + ": ", "is larger than 16777216 bytes");
  }

  @ParameterizedTest
  @CsvSource({
    "model_type, '\"gpt2\"', gpt2",
    "architectures, '[\"FalconForCausalLM\"]', FalconForCausalLM",
    "architectures, '[\"LlamaForCausalLM\", \"MistralForCausalLM\"]', MistralForCausalLM",
    "architectures, '[\"MistralForCausalLM\"]', llama"
  })
  void anUnknownArchitectureListsTheSupportedOnes(String key, String value, String seen)
      throws IOException {
    field(key, value);
    refuses(
        config() + ": ", seen, "expected a supported one: LlamaForCausalLM (llama), ", "qwen3_moe");
  }

  /** Whatever names code, a place or a package to fetch it from: it is said and never followed. */
  @ParameterizedTest
  @CsvSource({
    "auto_map, '{\"AutoModelForCausalLM\": \"evil/repo--code.Model\"}'",
    "trust_remote_code, true",
    "_attn_implementation_internal, '\"evil/kernel\"'",
    "_attn_implementation, '\"evil/kernel:fn\"'"
  })
  void aFieldThatNamesCodeIsSaidAndHasNoEffect(String key, String value) throws IOException {
    String[] generate =
        refusals.reading(Reader.GENERATE, base, "--greedy", "--max-new-tokens", "4");
    assertEquals(0, refusals.run(generate), refusals.said());
    String before =
        refusals.said().lines().filter(l -> !l.contains("tokens/s")).toList().toString();
    field(key, value);
    assertEquals(0, refusals.run(generate), refusals.said());
    String notice = "note: " + config() + ": '" + key + "' is ";
    List<String> said = refusals.said().lines().filter(l -> !l.contains("tokens/s")).toList();
    assertEquals(
        1,
        said.stream()
            .filter(line -> line.startsWith(notice))
            .filter(line -> line.endsWith("ignored, a model's files never choose code"))
            .count(),
        refusals.said());
    assertEquals(
        before, said.stream().filter(line -> !line.startsWith(notice)).toList().toString());
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "hidden_size|13|'hidden_size' is 13, expected a multiple of 'num_attention_heads', which is 3",
        "num_key_value_heads|2|'num_attention_heads' is 3, expected a multiple of 'num_key_value_heads', which is 2",
        "vocab_size|260|tensor 'model.embed_tokens.weight' has shape [259, 12], expected [260, 12]",
        "num_hidden_layers|3|the weights have 2 layers, expected 'num_hidden_layers' of config.json, which is 3",
        "num_hidden_layers|1|the weights have 2 layers, expected 'num_hidden_layers' of config.json, which is 1",
        "intermediate_size|24|has shape [20, 12], expected [24, 12] by config.json",
        "head_dim|7|'head_dim' is 7, expected an even number",
        "num_hidden_layers|2147483647|'num_hidden_layers' is 2147483647, expected an integer from 1 to 4096",
        "vocab_size|2147483647|'vocab_size' is 2147483647, expected an integer from 1 to 16777216",
        "num_hidden_layers|9007199254740993|'num_hidden_layers' is 9007199254740993",
        "hidden_size|1e999|'hidden_size' is ",
        "num_attention_heads|0|'num_attention_heads' is 0, expected an integer from 1 to 16384",
        "vocab_size|-5|'vocab_size' is -5, expected an integer from 1 to 16777216",
        "rope_scaling|{\"rope_type\": \"wobble\", \"factor\": 2.0}|'rope_scaling.rope_type' is \"wobble\", expected one of [",
        "rope_scaling|{\"type\": \"su\", \"factor\": 2.0}|\"su\", expected one of [",
        "rope_scaling|{\"factor\": 2.0}|'rope_scaling.rope_type' is missing, expected one of ["
      })
  void valuesThatNoModelHasAndThatTheWeightsContradictAreRefused(
      String key, String value, String problem) throws IOException {
    field(key, value);
    refuses(base.toString(), problem);
  }

  @ParameterizedTest
  @ValueSource(strings = {"pytorch_model.bin", "consolidated.00.pth", "model.pt", "weights.ckpt"})
  void aPickleAloneIsNamedAndNotLoaded(String name) throws IOException {
    Files.move(base.resolve("model.safetensors"), base.resolve(name));
    refuses(base.toString(), "only " + name, "pickle", "convert", "to safetensors");
  }

  /** The file decides, each time with a line that says so. */
  @Test
  void aTiedFlagThatTheWeightsContradictIsSettledInALine() throws IOException {
    field("tie_word_embeddings", "true");
    String[] inspect = refusals.reading(Reader.INSPECT, base);
    assertEquals(0, refusals.run(inspect), refusals.said());
    String untied =
        "note: "
            + base
            + ": 'tie_word_embeddings' is true, but the output head is stored with other values than"
            + " the embedding: taken as untied";
    assertEquals(1, refusals.said().lines().filter(untied::equals).count(), refusals.said());
    Path tied = TinyChat.of("llama", Map.of("tie_word_embeddings", "true"), temp.resolve("tied"));
    base = tied;
    field("tie_word_embeddings", "false");
    assertEquals(
        0,
        refusals.run(refusals.reading(Reader.GENERATE, tied, "--max-new-tokens", "1")),
        refusals.said());
    String alone =
        "note: "
            + tied
            + ": 'tie_word_embeddings' is false, but no output head is stored: the embedding is the"
            + " head";
    assertEquals(1, refusals.said().lines().filter(alone::equals).count(), refusals.said());
  }

  private void index(String shard) throws IOException {
    Path weights = base.resolve("model.safetensors");
    if (Files.exists(weights)) {
      Files.move(weights, base.resolve("model-00001-of-00001.safetensors"));
    }
    Files.writeString(
        base.resolve("model.safetensors.index.json"),
        "{\"metadata\": {}, \"weight_map\": {\"model.norm.weight\": \"" + shard + "\"}}");
  }

  @ParameterizedTest
  @CsvSource({
    "gone.safetensors, 'which is missing; download it'",
    "../base/model-00001-of-00001.safetensors, expected a plain file name inside the model",
    "/etc/x.safetensors, expected a plain file name inside the model directory",
    "C:\\\\x.safetensors, expected a plain file name inside the model directory",
    "\\\\\\\\host\\\\s\\\\x.safetensors, expected a plain file name inside the model directory",
    ".hidden.safetensors, expected a plain file name inside the model directory",
    "pytorch_model.bin, 'expected a .safetensors file; other kinds are not loaded'",
    "config.json, 'expected a .safetensors file; other kinds are not loaded'"
  })
  void anIndexThatNamesOtherFilesIsRefused(String shard, String problem) throws IOException {
    index(shard);
    refuses(base.resolve("model.safetensors.index.json") + ": weight_map names '", problem);
  }

  @Test
  void anIndexAndShardsThatDisagreeAreRefused() throws IOException {
    index("model-00001-of-00001.safetensors");
    Path index = base.resolve("model.safetensors.index.json");
    String text = Files.readString(index);
    Files.writeString(index, text.replace("model.norm.weight", "model.nrm.weight"));
    refuses(
        index
            + ": says tensor 'model.nrm.weight' is in model-00001-of-00001.safetensors, which does not"
            + " hold it; fetch all of the model's files again");
    Files.copy(base.resolve("model-00001-of-00001.safetensors"), base.resolve("copy.safetensors"));
    Files.writeString(
        index, text.replace("}}", ", \"model.embed_tokens.weight\": \"copy.safetensors\"}}"));
    refuses(base + ": tensor '", "is in two shards, model-00001-of-00001.safetensors and copy");
    Files.writeString(index, text.substring(0, text.length() - 2));
    refuses(index + ": not valid JSON at line 1 column", "download it again");
    Files.writeString(index, "[]");
    refuses(index + ": expected a JSON object with the key 'weight_map'");
  }
}
