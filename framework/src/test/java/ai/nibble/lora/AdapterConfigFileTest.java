package ai.nibble.lora;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.InvalidInputException;
import ai.nibble.Shared;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeSet;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class AdapterConfigFileTest {
  private static final String MINIMAL =
      "'peft_type': 'LORA', 'r': 8, 'lora_alpha': 16, 'target_modules': ['q_proj']";

  @TempDir private Path directory;

  private AdapterConfig read(String json) throws Exception {
    Files.writeString(directory.resolve(AdapterConfigFile.NAME), json);
    return AdapterConfigFile.read(directory);
  }

  private AdapterConfig readWith(String more) throws Exception {
    return read(("{" + MINIMAL + more + "}").replace('\'', '"'));
  }

  private List<String> problemsWith(String more) {
    String file = directory.resolve(AdapterConfigFile.NAME) + ": ";
    return assertThrows(InvalidInputException.class, () -> readWith(more), more).problems().stream()
        .peek(line -> assertTrue(line.startsWith(file) && line.lines().count() == 1, line))
        .map(line -> line.substring(file.length()))
        .toList();
  }

  @Test
  void whatIsAbsentHasPeftsDefaults() throws Exception {
    AdapterConfig config = readWith("");
    assertEquals(
        new LoraConfig(
            8,
            16,
            0,
            new TargetModules.Names(List.of("q_proj")),
            TargetModules.NONE,
            false,
            PathValues.none(),
            PathValues.none(),
            List.of(),
            List.of(),
            InitLoraWeights.KAIMING),
        config.lora());
    assertEquals(Optional.empty(), config.baseModel());
  }

  @Test
  void whatOnlyAMergeTakesIsReadForOne() throws Exception {
    String extras =
        ", 'use_dora': true, 'modules_to_save': ['lm_head', 'x.norm'], 'bias': 'lora_only',"
            + " 'lora_bias': true";
    assertEquals(2, problemsWith(extras).size());
    AdapterExtras read = AdapterConfigFile.readForMerging(directory).extras();
    assertEquals(
        new AdapterExtras(
            true,
            List.of("lm_head", "x.norm"),
            AdapterExtras.Bias.LORA_ONLY,
            true,
            TrainableTokens.NONE),
        read);
    assertTrue(read.saves("lm_head") && read.saves("model.x.norm"));
    assertFalse(read.saves("model.y.norm") || read.saves("not_lm_head"));
    assertEquals(AdapterExtras.NONE, readWith("").extras());
    problemsWith(", 'bias': 'some'");
    String message =
        assertThrows(InvalidInputException.class, () -> AdapterConfigFile.readForMerging(directory))
            .getMessage();
    assertTrue(message.endsWith("'bias' is \"some\", expected one of [none, all, lora_only]"));
  }

  @Test
  void everySettingIsRead() throws Exception {
    AdapterConfig config =
        readWith(
            ", 'lora_dropout': 0.1, 'use_rslora': true, 'rank_pattern': {'b': 4, 'a': 2},"
                + " 'alpha_pattern': {'a': 7.5}, 'layers_to_transform': 3, 'layers_pattern': 'h',"
                + " 'exclude_modules': '.*k', 'base_model_name_or_path': 'x/y', 'revision': 'main',"
                + " 'bias': 'none', 'init_lora_weights': 'gaussian', 'fan_in_fan_out': false");
    LoraConfig lora = config.lora();
    assertEquals(0.1, lora.dropout());
    assertTrue(lora.useRslora());
    assertEquals(List.of("b", "a"), List.copyOf(lora.rankPattern().map().keySet()));
    assertEquals(Map.of("a", 7.5), lora.alphaPattern().map());
    assertEquals(List.of(3), lora.layersToTransform());
    assertEquals(List.of("h"), lora.layersPattern());
    assertEquals(new TargetModules.Regex(".*k"), lora.excludeModules());
    assertEquals(Optional.of("x/y"), config.baseModel());
    assertEquals(Optional.of("main"), config.revision());
  }

  @Test
  void unknownKeysAreIgnoredAndNamed() throws Exception {
    AdapterConfig config =
        readWith(", 'new_thing': {'a': 1}, 'other': null, 'off': false, 'peft_version': '0.99'");
    assertEquals(List.of("new_thing"), config.ignoredKeys());
  }

  @Test
  void otherMethodsAreRefusedByName() {
    for (String key :
        List.of(
            "alora_invocation_tokens': [1]",
            "arrow_config': {'top_k': 3}",
            "kasa_config': {'a': 1}",
            "layer_replication': [[0, 4]]",
            "lora_bias': true",
            "monteclora_config': {'a': 1}",
            "target_parameters': ['x']",
            "use_bdlora': {'nblocks': 2}",
            "use_qalora': true",
            "velora_config': {'a': 1}")) {
      List<String> problems = problemsWith(", '" + key);
      assertEquals(1, problems.size());
      assertTrue(problems.get(0).contains("is not supported yet"), problems.get(0));
    }
    assertTrue(problemsWith(", 'bias': 'all'").get(0).contains("not supported yet"));
    assertTrue(problemsWith(", 'init_lora_weights': 'pissa_niter_4'").get(0).contains("PEFT's"));
    assertTrue(problemsWith(", 'task_type': 'SEQ_CLS'").get(0).contains("expected \"CAUSAL_LM\""));
  }

  @Test
  void theWordsOfARefusal() {
    assertEquals(
        List.of("'use_qalora' is true: QA-LoRA is not supported yet, expected plain LoRA"),
        problemsWith(", 'use_qalora': true"));
  }

  @Test
  void anotherPeftTypeIsTheOnlyProblemNamed() {
    InvalidInputException e =
        assertThrows(
            InvalidInputException.class, () -> read("{\"peft_type\": \"IA3\", \"r\": \"x\"}"));
    assertEquals(1, e.problems().size());
    assertTrue(e.getMessage().contains("'peft_type' is \"IA3\", expected \"LORA\""));
  }

  @Test
  void allMistypedValuesAreReportedAtOnce() throws Exception {
    InvalidInputException e =
        assertThrows(
            InvalidInputException.class,
            () ->
                read(
                    """
                    {"peft_type": "LORA", "r": 8.5, "lora_alpha": "16", "lora_dropout": [],
                     "target_modules": [1], "use_rslora": "yes", "rank_pattern": {"a": "b"},
                     "layers_to_transform": ["x"], "base_model_name_or_path": 4}
                    """));
    assertEquals(8, e.problems().size(), e::getMessage);
  }

  @Test
  void valuesOutOfRangeNameTheFile() {
    assertEquals(
        List.of("lora_dropout is 1.5, expected 0 to below 1"),
        problemsWith(", 'lora_dropout': 1.5"));
    assertTrue(problemsWith(", 'rank_pattern': {'(': 4}").get(0).startsWith("rank_pattern: '('"));
    assertTrue(
        problemsWith(", 'rank_pattern': {'a': 99999999999}").get(0).contains("expected a number"));
  }

  @Test
  void missingKeysAreNamed() {
    InvalidInputException e =
        assertThrows(InvalidInputException.class, () -> read("{\"peft_type\": \"LORA\"}"));
    assertEquals(2, e.problems().size(), e::getMessage);
    assertThrows(
        InvalidInputException.class,
        () -> read("{\"peft_type\":\"LORA\",\"r\":1,\"lora_alpha\":1,\"target_modules\":null}"));
  }

  @Test
  void hostileTextIsRefusedInOneLine() {
    for (String json :
        List.of(
            "",
            "[]",
            "null",
            "{",
            "{}",
            "{} x",
            "{\"r\": NaN}",
            "\u0000",
            "{\"r\": 1, \"r\": 2}",
            "[".repeat(200_000),
            "{\"a\":".repeat(200_000),
            "{\"r\": " + "9".repeat(100_000) + "}")) {
      InvalidInputException e =
          assertThrows(InvalidInputException.class, () -> read(json), json.length() + " chars");
      assertEquals(1, e.getMessage().lines().count());
    }
    assertThrows(
        InvalidInputException.class, () -> AdapterConfigFile.read(directory.resolve("absent")));
  }

  @Test
  void whatIsWrittenIsReadBack() throws Exception {
    Map<String, Integer> ranks = new LinkedHashMap<>();
    ranks.put("z", 4);
    ranks.put("a", 2);
    LoraConfig lora =
        new LoraConfig(
            8,
            12.5,
            0.05,
            new TargetModules.Names(List.of("v_proj", "q_proj")),
            TargetModules.NONE,
            true,
            new PathValues<>("rank_pattern", ranks),
            new PathValues<>("alpha_pattern", Map.of("a", 3.0)),
            List.of(2, 1),
            List.of("layers"),
            InitLoraWeights.KAIMING);
    AdapterConfig config = new AdapterConfig(lora, "some/base");
    AdapterConfigFile.write(directory, config);
    assertEquals(config, AdapterConfigFile.read(directory));
    AdapterConfig other = new AdapterConfig(lora, "other/base");
    AdapterConfigFile.write(directory, other);
    assertEquals(other, AdapterConfigFile.read(directory));
    AdapterConfig regex =
        new AdapterConfig(
            LoraConfig.DEFAULT.withTargets(new TargetModules.Regex(".*\\.q_proj")), "x");
    assertEquals(regex, read(AdapterConfigFile.toJson(regex)));
  }

  @Test
  void theKeysWrittenAreTheOnesOldVersionsTake() throws Exception {
    LoraConfig lora = LoraConfig.DEFAULT.withTargets(new TargetModules.Names(List.of("q_proj")));
    JsonNode json =
        new ObjectMapper().readTree(AdapterConfigFile.toJson(new AdapterConfig(lora, "b")));
    TreeSet<String> keys = new TreeSet<>();
    json.fieldNames().forEachRemaining(keys::add);
    assertEquals(
        "[alpha_pattern, auto_mapping, base_model_name_or_path, bias, fan_in_fan_out,"
            + " inference_mode, init_lora_weights, layers_pattern, layers_to_transform, lora_alpha,"
            + " lora_dropout, modules_to_save, peft_type, r, rank_pattern, revision,"
            + " target_modules, task_type, use_dora, use_rslora]",
        keys.toString());
    assertTrue(json.get("lora_alpha").isInt());
    assertTrue(json.get("layers_to_transform").isNull());
  }

  @Test
  void unresolvedTargetsAreNotWritten() {
    AdapterConfig config = new AdapterConfig(LoraConfig.DEFAULT, "base");
    assertThrows(IllegalArgumentException.class, () -> AdapterConfigFile.toJson(config));
  }

  @Test
  @Tag("golden")
  void everyFixtureIsRead() throws Exception {
    List<Path> files = new ArrayList<>();
    for (String folder : List.of("lora", "train")) {
      try (Stream<Path> found = Files.walk(Shared.fixtures(folder))) {
        found.filter(file -> file.endsWith(AdapterConfigFile.NAME)).forEach(files::add);
      }
    }
    for (Path file : files) {
      JsonNode json = new ObjectMapper().readTree(file.toFile());
      AdapterConfig config = AdapterConfigFile.read(file);
      assertEquals(json.get("r").intValue(), config.lora().r());
      assertEquals(json.get("lora_alpha").doubleValue(), config.lora().alpha());
      assertEquals(json.get("use_dora").asBoolean(), config.extras().useDora());
      assertEquals(json.get("modules_to_save").isNull(), config.extras().modulesToSave().isEmpty());
      assertEquals(List.of(), config.ignoredKeys(), file::toString);
      assertEquals(config.lora(), read(AdapterConfigFile.toJson(config)).lora());
    }
    assertTrue(!files.isEmpty());
  }

  /** As an adapter is exported in one file, which holds its configuration in its metadata. */
  @Test
  void aFileOfTensorsIsNoAdapterDirectory() throws Exception {
    Path file = Files.write(directory.resolve("a.safetensors"), new byte[] {8, 0, 0, 0});
    assertEquals(
        file + ": is a file of tensors, expected the directory with it and adapter_config.json",
        assertThrows(InvalidInputException.class, () -> AdapterConfigFile.read(file)).getMessage());
    Path binary = directory.resolve(AdapterConfigFile.NAME);
    Files.write(binary, new byte[] {0, 32, 0, 0, 0, 0, 0, 0});
    String message =
        assertThrows(InvalidInputException.class, () -> AdapterConfigFile.read(directory))
            .getMessage();
    assertTrue(message.startsWith(binary + ": not JSON ("), message);
  }
}
