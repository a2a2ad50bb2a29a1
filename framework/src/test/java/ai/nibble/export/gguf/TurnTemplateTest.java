package ai.nibble.export.gguf;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.Shared;
import ai.nibble.data.ChatTemplate;
import ai.nibble.data.SmallTokenizer;
import ai.nibble.data.SpecialTokens;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.Test;

class TurnTemplateTest {
  private static ChatTemplate template(String jinja, Map<String, String> special) {
    return ChatTemplate.of(jinja, "test", new SpecialTokens(special, Optional.empty()), Map.of());
  }

  private static Modelfile modelfile(Optional<TurnTemplate> turns, boolean writesBos) {
    return new Modelfile("m.gguf", turns, writesBos, List.of("<|im_end|>"));
  }

  @Test
  void chatMlBecomesAGoTemplate() {
    Optional<TurnTemplate> turns = TurnTemplate.of(template(SmallTokenizer.CHATML, Map.of()), "");
    assertEquals(
        """
        FROM ./m.gguf
        TEMPLATE \"""{{ range .Messages }}{{ if eq .Role "system" }}<|im_start|>system
        {{ .Content }}<|im_end|>
        {{ else if eq .Role "user" }}<|im_start|>user
        {{ .Content }}<|im_end|>
        {{ else if eq .Role "assistant" }}<|im_start|>assistant
        {{ .Content }}<|im_end|>
        {{ end }}{{ end }}<|im_start|>assistant
        \"""
        PARAMETER stop "<|im_end|>"
        """,
        modelfile(turns, false).toString());
  }

  @Test
  void aSystemTurnThatTheTemplateMakesUpStandsWhereThereIsNone() throws IOException {
    String jinja =
        Files.readString(Shared.path("models/smollm2-135m-instruct/chat_template.jinja"));
    Optional<TurnTemplate> turns = TurnTemplate.of(template(jinja, Map.of()), "");
    assertEquals(
        "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging"
            + " Face<|im_end|>\n",
        turns.orElseThrow().withoutSystem());
    assertTrue(
        modelfile(turns, false)
            .toString()
            .contains("TEMPLATE \"\"\"{{ if not .System }}<|im_start|>system\nYou are a"));
  }

  @Test
  void theBeginningOfSequenceIsLeftToOllamaWhereOllamaWritesIt() {
    String jinja =
        "{{ bos_token }}{% for m in messages %}[{{ m.role }}]{{ m.content }}[/]{% endfor %}"
            + "{% if add_generation_prompt %}[assistant]{% endif %}";
    Optional<TurnTemplate> turns =
        TurnTemplate.of(template(jinja, Map.of("bos_token", "<s>")), "<s>");
    assertEquals("<s>", turns.orElseThrow().start());
    assertTrue(modelfile(turns, false).toString().contains("TEMPLATE \"\"\"<s>{{ range"));
    assertTrue(modelfile(turns, true).toString().contains("TEMPLATE \"\"\"{{ range"));
  }

  @Test
  void aTemplateThatDoesMoreIsLeftOut() {
    for (String jinja :
        List.of(
            // numbers its turns
            "{% for m in messages %}{{ loop.index }}:{{ m.role }}:{{ m.content }};{% endfor %}",
            // refuses system turns
            "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no') }}{% endif %}"
                + "{{ m.content }}\\n{% endfor %}",
            // shows the last turn only
            "{{ messages[-1].content }}",
            // drops earlier answers
            "{% for m in messages %}{% if m.role != 'assistant' or loop.last %}<{{ m.role }}>"
                + "{{ m.content }}{% endif %}{% endfor %}")) {
      Optional<TurnTemplate> turns = TurnTemplate.of(template(jinja, Map.of()), "");
      assertEquals(Optional.empty(), turns, jinja);
      assertFalse(modelfile(turns, false).hasTemplate());
    }
  }

  @Test
  void publishedTemplatesThatOnlyFrameTurnsAreWritten() throws IOException {
    Path file = Shared.fixtures("templates").resolve("meta-llama-Llama-3.1-8B-Instruct.json");
    String jinja = new ObjectMapper().readTree(file.toFile()).get("template").asText();
    TurnTemplate turns =
        TurnTemplate.of(
                template(jinja, Map.of("bos_token", "<|begin_of_text|>")), "<|begin_of_text|>")
            .orElseThrow();
    assertEquals("<|begin_of_text|>", turns.start());
    assertEquals("<|start_header_id|>assistant<|end_header_id|>\n\n", turns.generation());
    assertEquals(
        new TurnTemplate.Around("<|start_header_id|>user<|end_header_id|>\n\n", "<|eot_id|>"),
        turns.user());
  }
}
