package ai.nibble.model;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.InvalidInputException;
import ai.nibble.nn.Parameter;
import ai.nibble.tensor.DType;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class RandomWeightsTest {
  private static final String Q = "model.layers.1.self_attn.q_proj.weight";

  @TempDir Path directory;

  @BeforeEach
  void writeConfig() throws IOException {
    Files.writeString(
        directory.resolve("config.json"),
        """
        {"model_type": "llama", "hidden_size": 96, "intermediate_size": 128, "vocab_size": 301,
         "num_hidden_layers": 2, "num_attention_heads": 6, "num_key_value_heads": 2,
         "attention_bias": true, "initializer_range": 0.03, "pad_token_id": 7,
         "tie_word_embeddings": false}
        """);
  }

  private RandomWeights weights(long seed) {
    return RandomWeights.of(directory, seed, notice -> {});
  }

  private static float[] read(WeightSource source, String name) {
    int elements = 1;
    for (long size : source.shape(name)) {
      elements *= (int) size;
    }
    float[] values = new float[elements];
    source.read(name, 0, values, 0, elements);
    return values;
  }

  @Test
  void matricesAreNormalNormsOneBiasesZero() {
    RandomWeights weights = weights(1);
    assertEquals(29, weights.names().size());
    for (String name : weights.names()) {
      float[] values = read(weights, name);
      if (weights.shape(name).length == 1) {
        for (float value : values) {
          assertEquals(name.endsWith(".bias") ? 0 : 1, value, name);
        }
        continue;
      }
      double n = values.length;
      double mean = 0;
      double square = 0;
      double fourth = 0;
      for (float value : values) {
        double z = value / 0.03;
        mean += z / n;
        square += z * z / n;
        fourth += Math.pow(z, 4) / n;
      }
      // six standard errors of a standard normal's moments: 1, 2 and 96 over n; one row of 301 is 0
      assertEquals(0, mean, 6 / Math.sqrt(n), name);
      assertEquals(1, square, 6 * Math.sqrt(2 / n) + 1.0 / 301, name);
      assertEquals(3, fourth, 6 * Math.sqrt(96 / n) + 3.0 / 301, name);
    }
  }

  @Test
  void onlyThePaddingTokensEmbeddingIsZero() {
    float[] table = read(weights(1), DecoderParameters.EMBEDDING);
    float[] head = read(weights(1), DecoderParameters.HEAD);
    for (int token = 0; token < 301; token++) {
      float[] zeros = new float[96];
      float[] row = Arrays.copyOfRange(table, token * 96, token * 96 + 96);
      assertEquals(token == 7, Arrays.equals(zeros, row), "token " + token);
      assertFalse(Arrays.equals(zeros, Arrays.copyOfRange(head, token * 96, token * 96 + 96)));
    }
  }

  @Test
  void aPieceIsTheSameHoweverItIsRead() {
    RandomWeights weights = weights(1);
    for (String name : List.of(Q, DecoderParameters.EMBEDDING)) {
      float[] whole = read(weights, name);
      float[] pieces = new float[whole.length];
      for (int at = whole.length; at > 0; ) {
        int count = Math.min(at, 61);
        at -= count;
        weights.read(name, at, pieces, at, count);
      }
      assertArrayEquals(whole, pieces, name);
    }
  }

  @Test
  void seedsTensorsAndNeighboursDiffer() {
    float[] values = read(weights(1), Q);
    assertArrayEquals(values, read(weights(1), Q));
    float[] other = read(weights(2), Q);
    float[] sibling = read(weights(1), "model.layers.0.self_attn.q_proj.weight");
    double n = values.length;
    for (float[] against : List.of(other, sibling, rotated(values, 1), rotated(values, 2))) {
      double correlation = 0;
      for (int i = 0; i < values.length; i++) {
        correlation += values[i] * against[i] / (0.03 * 0.03 * n);
      }
      assertEquals(0, correlation, 6 / Math.sqrt(n));
    }
  }

  private static float[] rotated(float[] values, int by) {
    float[] result = new float[values.length];
    for (int i = 0; i < values.length; i++) {
      result[i] = values[(i + by) % values.length];
    }
    return result;
  }

  @Test
  void aModelIsFilledWithThem() {
    try (RandomWeights weights = weights(3);
        CausalLm model =
            CausalLm.load(
                weights, directory, LoadOptions.trained(DType.FLOAT32), (done, total) -> {})) {
      List<Parameter> parameters = model.parameters().orElseThrow().parameters();
      assertEquals(List.copyOf(weights.names()), parameters.stream().map(Parameter::name).toList());
      for (Parameter p : parameters) {
        assertArrayEquals(read(weights, p.name()), p.value().toFloats(), p.name());
      }
      assertEquals(AllWeights.count(model.config()), model.parameters().orElseThrow().numel());
    }
  }

  @Test
  void aRangeThatCannotBeDrawnFromIsRefused() throws IOException {
    Path file = directory.resolve("config.json");
    Files.writeString(file, Files.readString(file).replace("0.03", "-0.03"));
    InvalidInputException e = assertThrows(InvalidInputException.class, () -> weights(1));
    assertEquals(
        file + ": 'initializer_range' is -0.03, expected a finite number from 0 up",
        e.getMessage());
  }

  @Test
  void tooManyWeightsAreRefusedInOneLine() throws IOException {
    Path file = directory.resolve("config.json");
    Files.writeString(file, Files.readString(file).replace("301", "9000000"));
    InvalidInputException e =
        assertThrows(
            InvalidInputException.class,
            () -> AllWeights.requireFits(ModelConfig.read(file), "model"));
    assertTrue(
        e.getMessage()
            .matches("model: has 1728\\d{6} weights, expected at most 536870911 to train all.*"),
        e.getMessage());
  }
}
