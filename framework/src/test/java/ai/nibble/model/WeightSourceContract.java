package ai.nibble.model;

import static ai.nibble.model.TinyModel.EMBEDDING;
import static ai.nibble.model.TinyModel.HEAD;
import static ai.nibble.model.TinyModel.Q;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.InvalidInputException;
import ai.nibble.tensor.DType;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What every kind of weights keeps to; each has a test that inherits these. */
abstract class WeightSourceContract {
  @TempDir Path folder;
  final List<String> notices = new ArrayList<>();

  /** Writes weights and configuration into the folder and returns the path to open. */
  abstract Path write(TinyModel model);

  final WeightSource open(TinyModel model) {
    return WeightSource.open(write(model), notices::add);
  }

  final List<String> problems(TinyModel model) {
    Path base = write(model);
    InvalidInputException e =
        assertThrows(InvalidInputException.class, () -> WeightSource.open(base, notices::add));
    e.problems().forEach(line -> assertTrue(line.startsWith(base.toString()), line));
    return e.problems().stream().map(line -> line.substring(base.toString().length())).toList();
  }

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void valuesAreThoseWrittenWhateverTheRange(boolean biases) {
    TinyModel model = new TinyModel(11, biases);
    Random random = new Random(5);
    try (WeightSource weights = open(model)) {
      assertEquals(model.values.keySet(), weights.names());
      assertEquals(List.of(), notices);
      for (String name : weights.names()) {
        float[] expected = model.values.get(name);
        assertArrayEquals(
            model.shapes.get(name).stream().mapToLong(Long::longValue).toArray(),
            weights.shape(name));
        assertEquals(DType.FLOAT32, weights.dtype(name));
        assertArrayEquals(expected, all(weights, name), name);
        for (int i = 0; i < 20; i++) {
          int first = random.nextInt(expected.length);
          int count = random.nextInt(expected.length - first + 1);
          float[] out = new float[count + 3];
          weights.read(name, first, out, 2, count);
          assertArrayEquals(
              Arrays.copyOfRange(expected, first, first + count),
              Arrays.copyOfRange(out, 2, 2 + count));
          assertEquals(0, out[0] + out[1] + out[count + 2]);
        }
      }
    }
  }

  @Test
  void namesComeEmbeddingFirstThenLayerByLayer() {
    try (WeightSource weights = open(new TinyModel(1, false))) {
      List<String> names = List.copyOf(weights.names());
      assertEquals(EMBEDDING, names.get(0));
      assertEquals("model.layers.0.input_layernorm.weight", names.get(1));
      assertEquals("model.layers.1.mlp.down_proj.weight", names.get(names.size() - 3));
      assertEquals(HEAD, names.get(names.size() - 1));
    }
  }

  @Test
  void manyThreadsReadTheSame() {
    TinyModel model = new TinyModel(2, true);
    try (WeightSource weights = open(model)) {
      IntStream.range(0, 2000)
          .parallel()
          .forEach(
              i -> {
                String name = i % 2 == 0 ? Q : EMBEDDING;
                assertArrayEquals(model.values.get(name), all(weights, name));
              });
    }
  }

  @Test
  void whatIsNotThereIsRefused() {
    try (WeightSource weights = open(new TinyModel(3, false))) {
      float[] out = new float[4];
      assertThrows(IllegalArgumentException.class, () -> weights.shape("model.nothing"));
      assertThrows(IllegalArgumentException.class, () -> weights.read("x", 0, out, 0, 1));
      for (long first : new long[] {-1, 11 * 12 - 3, Long.MAX_VALUE - 1}) {
        assertThrows(
            IndexOutOfBoundsException.class, () -> weights.read(EMBEDDING, first, out, 0, 4));
      }
      assertThrows(IndexOutOfBoundsException.class, () -> weights.read(Q, 0, out, 1, 4));
      assertThrows(IndexOutOfBoundsException.class, () -> weights.read(Q, 0, out, 0, -1));
    }
  }

  @Test
  void aClosedSourceGivesNothing() {
    WeightSource weights = open(new TinyModel(3, false));
    weights.close();
    assertThrows(IllegalStateException.class, () -> weights.read(EMBEDDING, 0, new float[4], 0, 4));
  }

  @Test
  void aTiedHeadIsTheEmbedding() {
    TinyModel model = new TinyModel(4, false);
    model.fields.put("tie_word_embeddings", "true");
    model.remove(HEAD);
    try (WeightSource weights = open(model)) {
      assertTrue(weights.config().tieWordEmbeddings());
      assertFalse(weights.names().contains(HEAD));
      assertArrayEquals(model.values.get(EMBEDDING), all(weights, HEAD));
      assertEquals(List.of(), notices);
    }
  }

  @Test
  void aTiedHeadStoredTwiceIsTiedOnlyIfItIsTheSame() {
    TinyModel model = new TinyModel(4, false);
    model.fields.put("tie_word_embeddings", "true");
    float[] other = model.values.get(HEAD);
    model.values.put(HEAD, model.values.get(EMBEDDING));
    try (WeightSource weights = open(model)) {
      assertTrue(weights.config().tieWordEmbeddings());
      assertFalse(weights.names().contains(HEAD));
      assertEquals(List.of(), notices);
    }
    model.values.put(HEAD, other);
    try (WeightSource weights = open(model)) {
      assertFalse(weights.config().tieWordEmbeddings());
      assertArrayEquals(other, all(weights, HEAD));
      assertTrue(notices.get(0).endsWith("taken as untied"), notices.toString());
    }
  }

  @Test
  void anUntiedHeadThatIsMissingIsTheEmbedding() {
    TinyModel model = new TinyModel(4, false);
    model.remove(HEAD);
    try (WeightSource weights = open(model)) {
      assertTrue(weights.config().tieWordEmbeddings());
      assertArrayEquals(model.values.get(EMBEDDING), all(weights, HEAD));
      assertTrue(notices.get(0).endsWith("the embedding is the head"), notices.toString());
    }
  }

  @Test
  void anEmbeddingThatIsMissingIsItsTiedHead() {
    TinyModel model = new TinyModel(4, false);
    model.fields.put("tie_word_embeddings", "true");
    model.remove(EMBEDDING);
    try (WeightSource weights = open(model)) {
      assertArrayEquals(model.values.get(HEAD), all(weights, EMBEDDING));
      assertArrayEquals(model.values.get(HEAD), all(weights, HEAD));
      assertTrue(notices.get(0).endsWith("taken as both"), notices.toString());
    }
  }

  @Test
  void aMissingTensorIsNamedWithItsShape() {
    TinyModel model = new TinyModel(4, false);
    model.remove(Q);
    assertEquals(
        List.of(
            ": tensor '"
                + Q
                + "' is missing, expected [24, 12] by config.json; fetch all of the model's files"
                + " again"),
        problems(model));
  }

  @Test
  void aTensorTheModelDoesNotHaveIsRefused() {
    TinyModel model = new TinyModel(4, true);
    model.fields.put("mlp_bias", "false");
    List<String> problems = problems(model);
    assertEquals(6, problems.size(), problems.toString());
    assertTrue(
        problems
            .get(0)
            .startsWith(": tensor 'model.layers.0.mlp.down_proj.bias' is not part of the model"));
  }

  @Test
  void manyProblemsAreCounted() {
    TinyModel model = new TinyModel(4, true);
    model.fields.put("mlp_bias", "false");
    model.fields.put("attention_bias", "false");
    List<String> problems = problems(model);
    assertEquals(9, problems.size(), problems.toString());
    assertEquals(": and 6 more tensors that do not fit", problems.get(8));
  }

  final float[] all(WeightSource weights, String name) {
    long elements = Arrays.stream(weights.shape(name)).reduce(1, (a, b) -> a * b);
    float[] out = new float[Math.toIntExact(elements)];
    weights.read(name, 0, out, 0, out.length);
    return out;
  }
}
