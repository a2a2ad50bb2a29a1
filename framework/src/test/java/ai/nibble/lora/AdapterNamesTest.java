package ai.nibble.lora;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.Shared;
import ai.nibble.lora.AdapterNames.AdapterTensor;
import ai.nibble.lora.AdapterNames.Kind;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.DataInputStream;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

class AdapterNamesTest {
  private static final String Q = "model.layers.0.self_attn.q_proj";

  @Test
  void namesAreThoseOfPeft() {
    assertEquals("base_model.model." + Q + ".lora_A.weight", AdapterNames.loraA(Q));
    assertEquals("base_model.model." + Q + ".lora_B.weight", AdapterNames.loraB(Q));
    assertEquals("base_model.model.lm_head.weight", AdapterNames.name("lm_head", Kind.WEIGHT));
  }

  @Test
  void everyNameIsReadBack() {
    for (Kind kind : Kind.values()) {
      assertEquals(
          Optional.of(new AdapterTensor(Q, kind)), AdapterNames.parse(AdapterNames.name(Q, kind)));
    }
  }

  @Test
  void otherNamesAreNone() {
    for (String name :
        List.of(
            "",
            "base_model.model.",
            "base_model.model..lora_A.weight",
            "base_model.model.lora_A.weight",
            "model.layers.0.self_attn.q_proj.lora_A.weight",
            "base_model.model.q_proj.lora_A.default.weight",
            "base_model.model.q_proj.lora_C")) {
      assertEquals(Optional.empty(), AdapterNames.parse(name), name);
    }
  }

  /** Header keys of a safetensors file, without the library's own reader. */
  private static JsonNode header(Path file) throws Exception {
    try (InputStream in = Files.newInputStream(file);
        DataInputStream data = new DataInputStream(in)) {
      int length = (int) Long.reverseBytes(data.readLong());
      return new ObjectMapper().readTree(data.readNBytes(length));
    }
  }

  @Test
  @Tag("golden")
  void everyTensorThatPeftSavedIsUnderstood() throws Exception {
    Map<Kind, Integer> seen = new EnumMap<>(Kind.class);
    try (Stream<Path> adapters = Files.list(Shared.fixtures("lora"))) {
      for (Path adapter : adapters.sorted().toList()) {
        JsonNode header = header(adapter.resolve("adapter_model.safetensors"));
        for (var entry : header.properties()) {
          if (!entry.getKey().equals("__metadata__")) {
            AdapterTensor tensor = AdapterNames.parse(entry.getKey()).orElseThrow();
            assertEquals(entry.getKey(), AdapterNames.name(tensor.modulePath(), tensor.kind()));
            seen.merge(tensor.kind(), 1, Integer::sum);
          }
        }
      }
    }
    System.out.println("adapter tensor names: " + seen);
    assertTrue(seen.getOrDefault(Kind.LORA_A, 0) > 0, seen::toString);
    assertEquals(seen.get(Kind.LORA_A), seen.get(Kind.LORA_B));
  }
}
