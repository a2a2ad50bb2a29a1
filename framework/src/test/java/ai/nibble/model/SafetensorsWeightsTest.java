package ai.nibble.model;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.InvalidInputException;
import ai.nibble.Shared;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

final class SafetensorsWeightsTest extends WeightSourceContract {
  @Override
  Path write(TinyModel model) {
    model.writeTo(folder);
    return folder;
  }

  @Test
  void anotherShapeAndAnotherNumberOfLayersAreToldInOneLine() {
    TinyModel model = new TinyModel(1, false);
    model.fields.put("vocab_size", "13");
    List<String> problems = problems(model);
    assertEquals(2, problems.size(), problems.toString());
    assertTrue(
        problems
            .get(0)
            .startsWith(
                ": tensor 'model.embed_tokens.weight' has shape [11, 12], expected [13, 12] by"
                    + " config.json"));
    model.fields.put("num_hidden_layers", "4000");
    assertEquals(
        List.of(
            ": the weights have 2 layers, expected 'num_hidden_layers' of config.json, which is"
                + " 4000; use the config.json that belongs to these weights"),
        problems(model));
  }

  @Test
  void storedRotaryFrequenciesAreLeftAlone() {
    TinyModel model = new TinyModel(1, false);
    model.add("model.layers.0.self_attn.rotary_emb.inv_freq", 4);
    open(model).close();
  }

  /** As saved before transformers 5, and since. */
  @ParameterizedTest
  @CsvSource({"language_model.model., language_model.", "model.language_model., ''"})
  void theTextModelOfOneThatSeesImagesIsReadUnderItsOwnNames(String layers, String head) {
    TinyModel text = TinyModel.of("gemma3_text", 1);
    Map<String, float[]> expected = new LinkedHashMap<>(text.values);
    Map<String, List<Long>> shapes = new LinkedHashMap<>(text.shapes);
    for (String name : expected.keySet()) {
      text.remove(name);
      boolean isHead = name.equals(TinyModel.HEAD);
      String stored = isHead ? head + name : name.replaceFirst("^model\\.", layers);
      text.put(
          stored,
          expected.get(name),
          shapes.get(name).stream().mapToLong(Long::longValue).toArray());
    }
    text.add("vision_tower.vision_model.post_layernorm.weight", 5);
    text.add("model.multi_modal_projector.mm_soft_emb_norm.weight", 5);
    String fields =
        text.fields.entrySet().stream()
            .map(e -> "\"" + e.getKey() + "\": " + e.getValue())
            .collect(Collectors.joining(", ", "{", "}"));
    text.fields.clear();
    text.fields.put("model_type", "\"gemma3\"");
    text.fields.put("architectures", "[\"Gemma3ForConditionalGeneration\"]");
    text.fields.put("text_config", fields);
    try (WeightSource source = open(text)) {
      assertEquals(expected.keySet(), source.names());
      for (String name : expected.keySet()) {
        float[] seen = new float[expected.get(name).length];
        source.read(name, 0, seen, 0, seen.length);
        assertArrayEquals(expected.get(name), seen, name);
      }
    }
  }

  @Test
  void integersAreNoWeights() throws IOException {
    Path base = write(new TinyModel(1, false));
    Path file = folder.resolve("model.safetensors");
    byte[] bytes = Files.readAllBytes(file);
    String header = new String(bytes, StandardCharsets.ISO_8859_1);
    int dtype = header.indexOf("F32");
    bytes[dtype] = 'I';
    Files.write(file, bytes);
    InvalidInputException e =
        assertThrows(InvalidInputException.class, () -> WeightSource.open(base, notices::add));
    assertEquals(
        base
            + ": tensor 'model.embed_tokens.weight' is stored as I32, which cannot be read as"
            + " weights; use the model in float32, float16 or bfloat16",
        e.getMessage());
  }

  @Test
  void whatIsNoModelIsToldSo() throws IOException {
    for (Path base : List.of(folder.resolve("nothing"), folder)) {
      InvalidInputException e =
          assertThrows(InvalidInputException.class, () -> WeightSource.open(base, notices::add));
      assertEquals(1, e.problems().size());
      assertTrue(e.getMessage().startsWith(base.toString()), e.getMessage());
    }
    Path file = Files.writeString(folder.resolve("pytorch_model.bin"), "x");
    assertThrows(InvalidInputException.class, () -> WeightSource.open(file, notices::add));
    new TinyModel(1, false).writeConfig(folder);
    InvalidInputException pickle =
        assertThrows(InvalidInputException.class, () -> WeightSource.open(folder, notices::add));
    assertTrue(pickle.getMessage().contains("pickle"), pickle.getMessage());
  }

  @Test
  void aFileCutShortWhileOpenRaisesAnException() throws IOException {
    try (WeightSource weights = open(new TinyModel(1, false))) {
      Path file = folder.resolve("model.safetensors");
      byte[] bytes = Files.readAllBytes(file);
      Files.write(file, Arrays.copyOf(bytes, bytes.length - 40));
      assertThrows(
          InvalidInputException.class,
          () -> weights.read(TinyModel.HEAD, 0, new float[132], 0, 132));
    }
  }

  /** The oracle reads the header with a plain JSON parser and the floats straight from the file. */
  @Test
  @Tag("golden")
  void everyLlamaFixtureIsReadWhole() throws IOException {
    List<Path> folders;
    try (var paths = Files.list(Shared.fixtures("models"))) {
      folders = paths.filter(Files::isDirectory).sorted().toList();
    }
    int models = 0;
    int tensors = 0;
    for (Path model : folders) {
      if (!Files.readString(model.resolve("config.json")).contains("\"LlamaForCausalLM\"")) {
        continue;
      }
      try (WeightSource weights = WeightSource.open(model, notices::add)) {
        tensors += compare(model, weights);
      }
      models++;
    }
    System.out.println("safetensors: " + models + " models, " + tensors + " tensors equal");
    assertEquals(List.of(), notices);
    assertTrue(models > 0 && tensors > 0);
  }

  private int compare(Path model, WeightSource weights) throws IOException {
    int compared = 0;
    List<Path> files;
    try (var paths = Files.list(model)) {
      files = paths.filter(p -> p.getFileName().toString().matches("model.*safetensors")).toList();
    }
    for (Path file : files) {
      ByteBuffer bytes = ByteBuffer.wrap(Files.readAllBytes(file)).order(ByteOrder.LITTLE_ENDIAN);
      int header = (int) bytes.getLong(0);
      JsonNode json = new ObjectMapper().readTree(bytes.array(), 8, header);
      for (var entry : json.properties()) {
        if (entry.getKey().equals("__metadata__")) {
          continue;
        }
        float[] values = all(weights, entry.getKey());
        int begin = 8 + header + entry.getValue().get("data_offsets").get(0).intValue();
        for (int i = 0; i < values.length; i++) {
          assertEquals(bytes.getFloat(begin + 4 * i), values[i], entry.getKey());
        }
        compared++;
      }
    }
    assertEquals(weights.names().size(), compared);
    return compared;
  }
}
