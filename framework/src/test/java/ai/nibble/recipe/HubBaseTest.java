package ai.nibble.recipe;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.InvalidInputException;
import ai.nibble.hub.FakeHub;
import ai.nibble.hub.HubModels;
import ai.nibble.lora.AdapterConfig;
import ai.nibble.lora.LoraConfig;
import ai.nibble.report.ProvenanceFile;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class HubBaseTest {
  @TempDir private Path temp;

  private final FakeHub hub = new FakeHub("model.safetensors");
  private final Problems problems = new Problems();

  @BeforeEach
  void aModel() {
    for (String name : List.of("config.json", "tokenizer.json", "model.safetensors")) {
      hub.files.put(name, name.getBytes(StandardCharsets.UTF_8));
    }
  }

  @AfterEach
  void stop() {
    hub.close();
  }

  private Object base(String recipe) throws IOException {
    Reading at = Reading.begin(problems);
    Path file = Files.writeString(temp.resolve("a.yaml"), recipe);
    Node.Fields fields = Layers.read(file, at).orElseThrow();
    Map<String, Object> values = Schema.RECIPE.values(Schema.derived(fields), at);
    HubBase.resolve(
        fields, values, at, () -> new HubModels(hub.settings(temp.resolve("hub")), line -> {}));
    return values.get("base_model");
  }

  private String recipe(String base) {
    return RecipeFiles.LEAST.replace("base_model: model", "base_model: " + base);
  }

  private String problem() {
    return assertThrows(InvalidInputException.class, problems::throwIfAny).getMessage();
  }

  private Path snapshot() {
    return temp.resolve("hub/models--org--tiny/snapshots/" + FakeHub.COMMIT);
  }

  @Test
  void anIdBecomesItsSnapshot() throws IOException {
    assertEquals(snapshot(), base(recipe(FakeHub.REPOSITORY)));
    problems.throwIfAny();
    hub.requests.clear();
    assertEquals(snapshot(), base(recipe(FakeHub.REPOSITORY)));
    assertEquals(List.of(), hub.requests, "what is in the cache is used as it is");
    assertEquals(snapshot(), base(recipe(FakeHub.REPOSITORY) + "revision: " + FakeHub.COMMIT));
    assertEquals(snapshot(), base(recipe(FakeHub.REPOSITORY + "@" + FakeHub.COMMIT)));
    assertEquals(List.of(), hub.requests);
    // as the resolved recipe has it
    assertEquals(snapshot(), base(recipe(snapshot().toString()) + "revision: main"));
    problems.throwIfAny();
  }

  @Test
  void nothingIsFetchedForARecipeWithOtherProblems() throws IOException {
    base(recipe(FakeHub.REPOSITORY).replace("1e-4", "-1"));
    assertEquals(List.of(), hub.requests);
    assertFalse(problem().contains("base_model"));
  }

  @Test
  void aPathThatIsThereIsNoId() throws IOException {
    Files.createDirectories(temp.resolve(FakeHub.REPOSITORY));
    assertEquals(temp.resolve(FakeHub.REPOSITORY), base(recipe(FakeHub.REPOSITORY)));
    base(recipe(FakeHub.REPOSITORY) + "revision: main");
    assertTrue(
        problem().endsWith("'revision': has no effect on base_model, which is a path: remove it"),
        problem());
  }

  @Test
  void oneRevisionIsNamed() throws IOException {
    base(recipe(FakeHub.REPOSITORY + "@main") + "revision: v2");
    assertTrue(problem().contains("names another revision than 'revision', which is 'v2'"));
  }

  @Test
  void whatTheHubRefusesIsAProblemOfTheKey() throws IOException {
    hub.files.clear();
    base(recipe(FakeHub.REPOSITORY));
    String problem = problem();
    assertTrue(problem.contains("a.yaml:1:13: 'base_model': nothing at "), problem);
    assertTrue(problem.endsWith("has no safetensors and no GGUF file, expected a model"), problem);
  }

  @Test
  void whatIsTrainedNamesTheModelAndItsCommit() {
    String path = snapshot().toString();
    assertEquals(
        FakeHub.REPOSITORY + "@" + FakeHub.COMMIT, new ProvenanceFile.Base(path, Map.of()).hub());
    assertEquals("", new ProvenanceFile.Base("/models/x", Map.of()).hub());
    AdapterConfig adapter = new AdapterConfig(LoraConfig.DEFAULT, path);
    assertEquals(Optional.of(FakeHub.REPOSITORY), adapter.baseModel());
    assertEquals(Optional.of(FakeHub.COMMIT), adapter.revision());
    assertEquals(
        Optional.of("/models/x"), new AdapterConfig(LoraConfig.DEFAULT, "/models/x").baseModel());
  }
}
