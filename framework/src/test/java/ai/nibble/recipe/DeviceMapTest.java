package ai.nibble.recipe;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.InvalidInputException;
import ai.nibble.model.CausalLm;
import ai.nibble.model.LoadOptions;
import ai.nibble.model.Placement;
import ai.nibble.tensor.Device;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** What device_map and max_memory say, on a base of 32 layers with a head of its own. */
final class DeviceMapTest {
  private static final Device FIRST = new Device(Device.Type.CUDA, 0);
  private static final Device SECOND = new Device(Device.Type.CUDA, 1);

  @TempDir Path temp;
  private RecipeFiles files;

  @BeforeEach
  void makeFiles() throws IOException {
    files = new RecipeFiles(temp);
    files.write(
        "model/config.json", RecipeFiles.CONFIG.replace("}", ",\"tie_word_embeddings\":false}"));
  }

  private DeviceMap map(String text) throws IOException {
    Recipe recipe = files.load("device_map: " + text + "\n");
    assertEquals(List.of(), recipe.notices());
    Recipe again = files.loadText(recipe.resolvedYaml());
    assertEquals(recipe, again);
    assertEquals(List.of(), again.notices());
    return recipe.deviceMap();
  }

  @Test
  void aWordIsOneDeviceOrAChoice() throws IOException {
    assertTrue(map("auto").isAuto());
    assertTrue(files.load("").deviceMap().isAuto());
    assertEquals(DeviceMap.on(Device.CPU), map("cpu"));
    assertEquals(DeviceMap.on(FIRST), map("cuda"));
    assertEquals(DeviceMap.on(FIRST), map("cuda:0"));
    assertEquals(DeviceMap.on(SECOND), map("cuda:1"));
    assertEquals(DeviceMap.on(SECOND), map("{'': 1}"));
    assertEquals(DeviceMap.on(Device.pretended(2)), map("cpu:2"));
  }

  @Test
  void aMapGivesModulesAndAllThatIsInThemDevices() throws IOException {
    Placement placement =
        map("{model.embed_tokens: cuda:0, model.layers: 1, model.norm: cpu, lm_head: cpu}")
            .placement()
            .orElseThrow();
    assertEquals(FIRST, placement.first());
    assertEquals(SECOND, placement.of(Placement.layer(31)));
    assertEquals(Device.CPU, placement.of(CausalLm.HEAD));
    Placement two =
        map("{model: cuda:0, lm_head: cuda:1, model.rotary_emb: cuda:0}").placement().orElseThrow();
    assertEquals(FIRST, two.of(CausalLm.NORM));
    assertEquals(SECOND, two.of(CausalLm.HEAD));
  }

  /** The same device by two keys is no contradiction. */
  @Test
  void aModuleMayBeNamedTwiceAlike() throws IOException {
    map("{model: cuda:0, model.layers.3: cuda:0, lm_head: cuda:0}");
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "tpu | a.yaml:6:13: 'device_map' is 'tpu', expected one of [auto, cpu, cuda, cuda:N] or a"
            + " device for each module (did you mean 'cpu'?)",
        "balanced | a.yaml:6:13: 'device_map' is 'balanced', which is not supported: use auto, which"
            + " fills the GPUs in their order, or name a device for each module",
        "mps | a.yaml:6:13: 'device_map' is 'mps', which is not supported: use cpu or cuda (an"
            + " NVIDIA GPU)",
        "{} | a.yaml:6:13: 'device_map' is a map, expected one of [auto, cpu, cuda, cuda:N] or a"
            + " device for each module",
        "{model: gpu0, lm_head: cpu} | a.yaml:6:21: 'device_map.model' is 'gpu0', expected cpu, cuda"
            + " or cuda:N",
        "{model: disk, lm_head: cpu} | a.yaml:6:21: 'device_map.model' is 'disk', which is not"
            + " supported: weights are in memory while they are used, use cpu",
        "{model: cpu, lm_head: cpu, model.layer.0: cpu} | a.yaml:6:40: 'device_map.model.layer.0'"
            + " covers no module of this base, which has model.embed_tokens, model.layers.0 to"
            + " model.layers.31, model.norm and lm_head",
        "{model: cpu, lm_head: cpu, model.layers.32: cpu} | a.yaml:6:40:"
            + " 'device_map.model.layers.32' covers no module of this base, which has"
            + " model.embed_tokens, model.layers.0 to model.layers.31, model.norm and lm_head",
        "{model: cuda:0, model.layers.3: cuda:1, lm_head: cpu} | a.yaml:6:29:"
            + " 'device_map.model.layers.3' is cuda:1, but 'model', which it is a part of, is"
            + " cuda:0: name each module once",
        "{model.embed_tokens: cpu, model.layers.0: cpu, lm_head: cpu} | a.yaml:6:13: 'device_map'"
            + " says no device for model.layers.1 to model.layers.31, model.norm: name each module,"
            + " or several by a path such as 'model.layers'",
      })
  void whatIsWrongIsOneLine(String text, String expected) throws IOException {
    assertEquals(List.of(expected), files.problems("device_map: " + text + "\n"));
  }

  @Test
  void aLayerIsNotSplit() throws IOException {
    StringBuilder layers = new StringBuilder("device_map:\n  model.embed_tokens: cuda:0\n");
    for (int i = 0; i < 31; i++) {
      layers.append("  model.layers." + i + ": cuda:0\n");
    }
    layers.append("  model.norm: cpu\n  lm_head: cpu\n");
    String last = "  model.layers.31.";
    String norms = last + "input_layernorm: cuda:0\n" + last + "post_attention_layernorm: cuda:0\n";
    assertEquals(
        List.of(
            "a.yaml:41:3: 'device_map.model.layers.31.input_layernorm' splits 'model.layers.31',"
                + " 'model.layers.31.input_layernorm' on cuda:0 and 'model.layers.31.mlp' on"
                + " cuda:1: it is computed on one device, name 'model.layers.31' instead"),
        files.problems(layers + norms + last + "self_attn: cuda:0\n" + last + "mlp: cuda:1\n"));
    assertEquals(
        List.of(
            "a.yaml:41:3: 'device_map.model.layers.31.self_attn' is a part of 'model.layers.31',"
                + " of which model.layers.31.input_layernorm.weight has no device: name"
                + " 'model.layers.31'"),
        files.problems(layers + last + "self_attn: cuda:0\n"));
  }

  @Test
  void aHeadThatIsTheEmbeddingIsWhereThatIs() throws IOException {
    files.write(
        "model/config.json", RecipeFiles.CONFIG.replace("}", ",\"tie_word_embeddings\":true}"));
    assertEquals(
        List.of(
            "a.yaml:6:29: 'device_map.lm_head' is cpu, but the head's weight is the embedding's, and"
                + " 'model' is cuda:0: give both one device"),
        files.problems("device_map: {model: cuda:0, lm_head: cpu}\n"));
    map("{model: cuda:0}");
  }

  @Test
  void devicesThatAreNotHereAreAllNamed() throws IOException {
    Recipe recipe = files.load("device_map:\n  model: cuda:7\n  lm_head: cuda:8\n");
    assertTrue(LoadOptions.missing(new Device(Device.Type.CUDA, 7)).isPresent(), "has 8 GPUs");
    InvalidInputException e =
        assertThrows(InvalidInputException.class, () -> PlacedRecipe.rooms(recipe, List.of()));
    assertEquals(2, e.problems().size());
    String first = files.relative(e.problems()).get(0);
    assertTrue(first.startsWith("a.yaml:7:3: 'device_map.model' is cuda:7, but "), first);
  }

  @Test
  void maxMemoryIsByDevice() throws IOException {
    Recipe recipe = files.load("max_memory: {0: 20GiB, cuda:1: 10GB, cpu: 1073741824}\n");
    assertEquals(List.of(), recipe.notices());
    assertEquals(
        Map.of(FIRST, 20L << 30, SECOND, 10_000_000_000L, Device.CPU, 1L << 30),
        recipe.maxMemory().bytes());
    assertEquals(recipe, files.loadText(recipe.resolvedYaml()));
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "20GiB | a.yaml:6:13: 'max_memory' is '20GiB', expected a map from device (cpu, cuda or"
            + " cuda:N) to a size such as 20GiB",
        "{cuda:0: much} | a.yaml:6:22: 'max_memory.cuda:0' is 'much', expected a size such as 20GiB",
        "{disk: 1GiB} | a.yaml:6:14: 'max_memory.disk' is for 'disk', which is not supported:"
            + " weights are in memory while they are used, use cpu",
        "{coda:0: 1GiB} | a.yaml:6:14: 'max_memory.coda:0' is for 'coda:0', which is no device,"
            + " expected cpu, cuda or cuda:N (did you mean 'cuda:0'?)",
        "{0: 1GiB, cuda:0: 2GiB} | a.yaml:6:23: 'max_memory.cuda:0' names a device a second time:"
            + " remove one",
      })
  void whatIsWrongWithMaxMemoryIsOneLine(String text, String expected) throws IOException {
    assertEquals(List.of(expected), files.problems("max_memory: " + text + "\n"));
  }

  @Test
  void maxMemoryHasNoEffectWhereDevicesAreNamed() throws IOException {
    List<String> notices = files.load("device_map: cpu\nmax_memory: {cpu: 1GiB}\n").notices();
    assertEquals(1, notices.size());
    assertTrue(
        notices
            .get(0)
            .endsWith("'max_memory' has no effect: 'device_map' says where each module goes"),
        notices.get(0));
  }
}
