package ai.nibble.lora;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTimeoutPreemptively;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.InvalidInputException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

class TargetMatcherTest {

  private static List<String> llama() {
    List<String> paths = new ArrayList<>();
    for (int i = 0; i < 4; i++) {
      for (String p : List.of("q", "k", "v", "o")) {
        paths.add("model.layers." + i + ".self_attn." + p + "_proj");
      }
      for (String p : List.of("gate", "up", "down")) {
        paths.add("model.layers." + i + ".mlp." + p + "_proj");
      }
    }
    paths.add("lm_head");
    return paths;
  }

  private static LoraConfig config(String... names) {
    return LoraConfig.DEFAULT.withTargets(new TargetModules.Names(List.of(names)));
  }

  private static List<String> select(LoraConfig config) {
    return new TargetMatcher(config).select(llama());
  }

  private static List<String> problems(LoraConfig config) {
    return assertThrows(InvalidInputException.class, () -> select(config)).problems();
  }

  @Test
  void allLinearTakesEverythingButTheHead() {
    List<String> selected = select(LoraConfig.DEFAULT);
    assertEquals(28, selected.size());
    assertTrue(selected.stream().noneMatch("lm_head"::equals));
    assertEquals(new TargetModules.AllLinear(), TargetModules.ofString("All-Linear"));
  }

  @Test
  void theHeadIsTakenWhenItIsListed() {
    assertEquals(List.of("lm_head"), select(config("lm_head")));
  }

  @Test
  void allLinearGoesWithLayerNumbers() {
    LoraConfig config =
        LoraConfig.DEFAULT.withTargets(
            new TargetModules.AllLinear(), TargetModules.NONE, List.of(3, 1));
    assertEquals(14, select(config).size());
    LoraConfig resolved = new TargetMatcher(config).resolve(llama());
    assertEquals(List.of(1, 3), resolved.layersToTransform());
    assertEquals(select(config), select(resolved));
  }

  @Test
  void aNameThatMatchesNothingIsAnErrorThatListsWhatThereIs() {
    assertEquals(
        List.of(
            "target_modules: 'q_prj' matches none of the model's 29 modules that can be adapted, expected one of"
                + " [down_proj (4), gate_proj (4), k_proj (4), lm_head (1), o_proj (4), q_proj (4),"
                + " up_proj (4), v_proj (4)] (did you mean 'q_proj'?)",
            "target_modules: 'zzz' matches none of the model's 29 modules that can be adapted, expected one of"
                + " [down_proj (4), gate_proj (4), k_proj (4), lm_head (1), o_proj (4), q_proj (4),"
                + " up_proj (4), v_proj (4)]"),
        problems(config("q_prj", "v_proj", "zzz")));
  }

  @Test
  void aNameWrittenAsAStringIsExplained() {
    LoraConfig config = LoraConfig.DEFAULT.withTargets(TargetModules.ofString("q_proj"));
    String problem = problems(config).get(0);
    assertTrue(problem.endsWith("over whole paths: for the name write ['q_proj']"), problem);
  }

  @Test
  void anEmptyListIsAnError() {
    assertTrue(problems(config()).get(0).startsWith("target_modules is empty, expected some of"));
  }

  @Test
  void layersThatDoNotExistAreAnError() {
    LoraConfig config =
        LoraConfig.DEFAULT.withTargets(
            new TargetModules.Names(List.of("q_proj")), TargetModules.NONE, List.of(2, 99));
    assertEquals(
        List.of(
            "layers_to_transform: no targeted module lies in layers [99], expected some of"
                + " [0, 1, 2, 3]"),
        problems(config));
  }

  @Test
  void listsThatDoNotExistAreAnError() {
    LoraConfig plain = config("q_proj");
    LoraConfig config =
        new LoraConfig(
            plain.r(),
            plain.alpha(),
            plain.dropout(),
            plain.targetModules(),
            plain.excludeModules(),
            plain.useRslora(),
            plain.rankPattern(),
            plain.alphaPattern(),
            List.of(0),
            List.of("blocks"),
            plain.initLoraWeights(),
            plain.extras());
    assertEquals(
        List.of(
            "layers_pattern: no targeted module lies in a numbered list named one of [blocks],"
                + " expected a name before a number in a path such as"
                + " 'model.layers.0.self_attn.q_proj'"),
        problems(config));
  }

  @Test
  void excludingEverythingIsAnError() {
    LoraConfig config =
        LoraConfig.DEFAULT.withTargets(
            new TargetModules.Names(List.of("q_proj")),
            new TargetModules.Regex(".*q_proj"),
            List.of());
    assertTrue(problems(config).get(0).contains("all 4 targeted modules are left out"));
  }

  @Test
  void aRankPatternThatDecidesForNothingIsAnError() {
    LoraConfig config =
        new LoraConfig(
            8,
            16,
            0,
            new TargetModules.Names(List.of("q_proj")),
            TargetModules.NONE,
            false,
            new PathValues<>("rank_pattern", Map.of("v_proj", 4)),
            PathValues.none(),
            List.of(),
            List.of(),
            InitLoraWeights.GAUSSIAN);
    assertTrue(problems(config).get(0).startsWith("rank_pattern: 'v_proj' decides for none of"));
  }

  @Test
  void aResolvedSelectionIsTheSameSelection() {
    List<LoraConfig> configs =
        List.of(
            LoraConfig.DEFAULT,
            LoraConfig.DEFAULT.withTargets(
                new TargetModules.AllLinear(),
                new TargetModules.Names(List.of("k_proj")),
                List.of()),
            LoraConfig.DEFAULT.withTargets(
                new TargetModules.AllLinear(), new TargetModules.Regex(".*\\.1\\..*"), List.of(2)),
            LoraConfig.DEFAULT.withTargets(
                new TargetModules.Names(List.of("q_proj")),
                new TargetModules.Names(List.of("model.layers.0.self_attn.q_proj")),
                List.of()),
            LoraConfig.DEFAULT.withTargets(
                TargetModules.ofString(".*(q|down)_proj"),
                new TargetModules.Names(List.of("down_proj")),
                List.of()));
    for (LoraConfig config : configs) {
      LoraConfig resolved = new TargetMatcher(config).resolve(llama());
      assertTrue(resolved.targetModules() instanceof TargetModules.Names);
      assertEquals(TargetModules.NONE, resolved.excludeModules());
      assertEquals(select(config), select(resolved));
    }
    assertEquals(
        new TargetModules.Names(
            List.of("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")),
        new TargetMatcher(LoraConfig.DEFAULT).resolve(llama()).targetModules());
  }

  @Test
  void anExpertThatSharesItsNameIsNotSelectedByTheResolvedList() {
    List<String> linears = List.of("a.proj", "b.proj", "c.proj", "b.other");
    LoraConfig but =
        LoraConfig.DEFAULT.withTargets(
            new TargetModules.AllLinear(), new TargetModules.Names(List.of("c.proj")), List.of());
    LoraConfig resolved = new TargetMatcher(but).resolve(linears);
    assertEquals(
        List.of("a.proj", "b.proj", "b.other"), new TargetMatcher(resolved).select(linears));
  }

  @Test
  void embeddingAndHeadAreTargetedByNameOrPatternOnly() {
    List<String> modules = new ArrayList<>(llama());
    modules.add(0, "model.embed_tokens");
    List<String> linears = llama().subList(0, llama().size() - 1);
    assertEquals(linears, new TargetMatcher(LoraConfig.DEFAULT).select(modules));
    assertEquals(
        List.of("model.embed_tokens", "lm_head"),
        new TargetMatcher(config("embed_tokens", "lm_head")).select(modules));
    LoraConfig pattern =
        LoraConfig.DEFAULT.withTargets(TargetModules.ofString(".*(embed_tokens|o_proj)"));
    assertEquals(5, new TargetMatcher(pattern).select(modules).size());
  }

  @Test
  void whatEmbeddingAndHeadDoNotTakeIsSaid() {
    List<String> modules = List.of("model.embed_tokens", "model.layers.0.q_proj", "lm_head");
    LoraConfig config =
        config("embed_tokens", "q_proj", "lm_head")
            .withInit(InitLoraWeights.PISSA)
            .withExtras(AdapterExtras.NONE.withDora(true).withModulesToSave(List.of("lm_head")));
    List<String> problems =
        assertThrows(InvalidInputException.class, () -> new TargetMatcher(config).select(modules))
            .problems();
    assertEquals(
        List.of(
            "use_dora: DoRA on [model.embed_tokens, lm_head] is not supported yet: leave them out"
                + " of target_modules",
            "init_lora_weights: 'pissa' on [model.embed_tokens, lm_head] is not supported: leave"
                + " them out of target_modules",
            "modules_to_save: 'lm_head' is trained whole and is in target_modules too: take it out"
                + " of one of them"),
        problems);
  }

  @Test
  void aPatternThatBacktracksWithoutEndIsAnErrorInAMoment() {
    String path = "a".repeat(80) + "b";
    for (String hostile : List.of("(a|aa)+$", "(a*)*c", "(.*)*(.*)*(.*)*c", "(a|a)*c")) {
      TargetMatcher matcher =
          new TargetMatcher(LoraConfig.DEFAULT.withTargets(TargetModules.ofString(hostile)));
      assertTimeoutPreemptively(
          Duration.ofSeconds(5),
          () -> {
            try {
              assertEquals(false, matcher.targets(path)); // some the engine sees through
            } catch (InvalidInputException e) {
              assertTrue(e.getMessage().contains("takes more than"), e.getMessage());
            }
          });
    }
  }

  @Test
  void deepOrLongPatternsAreRefused() {
    for (String hostile :
        List.of("(".repeat(4000) + ")".repeat(4000), "a".repeat(9000), "(?:".repeat(200))) {
      assertThrows(InvalidInputException.class, () -> TargetModules.ofString(hostile));
    }
  }
}
