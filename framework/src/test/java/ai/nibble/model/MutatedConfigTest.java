package ai.nibble.model;

import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.JsonMutations;
import ai.nibble.nn.Pass;
import ai.nibble.tensor.DType;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.FieldSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Configurations damaged at random, beside weights that are as they were. */
class MutatedConfigTest {
  private static final List<String> MODEL_TYPES = TinyModel.MODEL_TYPES;

  @TempDir Path temp;

  /** A model that opens is loaded, and computes something. */
  private void assertReadOrRefused(String config, int count, long seed) throws IOException {
    JsonMutations configs = new JsonMutations(config, seed);
    configs.each(
        count,
        temp.toString(),
        json -> {
          Files.write(temp.resolve("config.json"), json);
          try (WeightSource source = WeightSource.open(temp, notice -> assertOneLine(notice));
              CausalLm model =
                  CausalLm.load(
                      source, temp, LoadOptions.unquantized(DType.FLOAT32), (done, all) -> {})) {
            int[] ids = {1, 2, 3};
            model.logits(ids, Pass.evaluating(0, 3), new int[] {2}).close();
          }
        });
    assertTrue(
        configs.refused() > count / 10 && configs.taken() > 5,
        configs.taken() + " taken of " + count);
  }

  private static void assertOneLine(String notice) {
    assertTrue(notice.chars().noneMatch(Character::isISOControl), notice);
  }

  @ParameterizedTest
  @FieldSource("MODEL_TYPES")
  void anyConfigurationIsFollowedOrRefused(String modelType) throws IOException {
    TinyModel model = TinyModel.of(modelType, 3);
    model.fields.put("rms_norm_eps", "1e-5");
    model.fields.put("max_position_embeddings", "64");
    model.fields.put("torch_dtype", "\"float32\"");
    if (!modelType.equals("phi3") && !modelType.equals("gemma3_text")) {
      model.fields.put(
          "rope_scaling",
          "{\"rope_type\": \"yarn\", \"factor\": 4.0, \"original_max_position_embeddings\": 16,"
              + " \"beta_fast\": 32, \"attention_factor\": 1.1}");
      model.fields.put("rope_theta", "10000.0");
    }
    model.writeTo(temp);
    assertReadOrRefused(Files.readString(temp.resolve("config.json")), 100, 13);
  }

  @ParameterizedTest
  @ValueSource(strings = {"nf4_double", "int8", "gptq4", "gptq4_act_order", "awq"})
  void anyQuantisationIsFollowedOrRefused(String name) throws IOException {
    Path from = QuantizedCheckpointTest.directory(name);
    Files.copy(from.resolve("model.safetensors"), temp.resolve("model.safetensors"));
    assertReadOrRefused(Files.readString(from.resolve("config.json")), 60, 22);
  }
}
