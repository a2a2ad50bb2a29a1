package ai.nibble.recipe;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.quant.Quant8Config;
import ai.nibble.tensor.DType;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What the files beside an adapter say of its training. */
final class TrainedWithTest {
  @TempDir Path temp;
  private RecipeFiles files;

  @BeforeEach
  void makeFiles() throws IOException {
    files = new RecipeFiles(temp);
  }

  @Test
  void anAdapterFromElsewhereSaysNothingOrItsTemplate() throws IOException {
    Files.createDirectories(files.path("out"));
    assertTrue(TrainedWith.read(files.path("out")).isEmpty());
    Path template = files.write("out/chat_template.jinja", "x");
    TrainedWith read = TrainedWith.read(files.path("out")).orElseThrow();
    assertEquals(Optional.of(template), read.chatTemplate());
    assertTrue(read.adapter().isEmpty() && read.baseModel().isEmpty());
    assertTrue(read.quantization().isEmpty() && read.computeDtype().isEmpty());
  }

  @Test
  void theTemplateThatWasKeptGoesBeforeTheOneThatWasNamed() throws IOException {
    Path named = files.write("own.jinja", "x");
    Recipe recipe = files.load("chat_template: own.jinja\nbnb_4bit_compute_dtype: float32\n");
    files.write("out/recipe.yaml", recipe.resolvedYaml());
    TrainedWith before = TrainedWith.read(files.path("out")).orElseThrow();
    assertEquals(Optional.of(named), before.chatTemplate());
    assertEquals(Optional.of(DType.FLOAT32), before.computeDtype());
    assertEquals(Optional.of(Recipe.Adapter.QLORA), before.adapter());
    Path kept = files.write("out/chat_template.jinja", "y");
    assertEquals(
        Optional.of(kept), TrainedWith.read(files.path("out")).orElseThrow().chatTemplate());
  }

  @Test
  void anEightBitBaseIsKnownAgain() throws IOException {
    String int8 =
        "adapter: lora\nload_in_8bit: true\nllm_int8_threshold: 4.5\n"
            + "llm_int8_skip_modules: [down_proj]\n";
    files.write("out/recipe.yaml", files.load(int8).resolvedYaml());
    assertEquals(
        Optional.of(new Quant8Config(4.5, List.of("down_proj"))),
        TrainedWith.read(files.path("out")).orElseThrow().quantization());
  }

  @Test
  void aCheckpointIsOfTheRunAroundIt() throws IOException {
    files.write("out/recipe.yaml", files.load("").resolvedYaml());
    Path checkpoint = Files.createDirectories(files.path("out/checkpoint-5"));
    TrainedWith read = TrainedWith.read(checkpoint).orElseThrow();
    assertEquals(Optional.of(files.path("model")), read.baseModel());
    assertTrue(read.quantization().isPresent());
    assertTrue(read.computeDtype().isEmpty(), "auto is for each machine to say");
    assertTrue(TrainedWith.read(Files.createDirectories(files.path("out/other"))).isEmpty());
  }
}
