package ai.nibble.model;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import ai.nibble.InvalidInputException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Beside a model of eleven tokens whose own end of text is 7. */
class GenerationConfigTest {
  @TempDir Path folder;
  private ModelConfig config;

  @BeforeEach
  void writeModel() {
    TinyModel tiny = new TinyModel(1, false);
    tiny.fields.put("eos_token_id", "7");
    tiny.writeConfig(folder);
    config = ModelConfig.read(folder.resolve("config.json"), notice -> {});
  }

  private List<Integer> eos(String json) throws IOException {
    Files.writeString(folder.resolve("generation_config.json"), json);
    return GenerationConfig.read(folder, config).eosTokenIds();
  }

  @Test
  void endsOfTextAreANumberOrAList() throws IOException {
    assertEquals(List.of(2), eos("{\"eos_token_id\": 2}"));
    assertEquals(List.of(2, 10), eos("{\"eos_token_id\": [2, 10], \"temperature\": 0.6}"));
  }

  @Test
  void withoutThemTheModelsOwnCount() throws IOException {
    assertEquals(List.of(7), GenerationConfig.read(folder, config).eosTokenIds());
    assertEquals(List.of(7), eos("{}"));
    assertEquals(List.of(7), eos("{\"eos_token_id\": null}"));
    assertEquals(List.of(7), eos("{\"eos_token_id\": []}"));
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '~',
      value = {
        "{\"eos_token_id\": 11} | 'eos_token_id' is 11, expected an id from 0 to 10",
        "{\"eos_token_id\": [2, -1]} | 'eos_token_id' is -1, expected an id from 0 to 10",
        "{\"temperature\": \"0.6\"} | 'temperature' is \"0.6\", expected a number",
        "{\"do_sample\": 1} | 'do_sample' is 1, expected true or false",
        "{\"max_new_tokens\": 0} | 'max_new_tokens' is 0, expected an integer of at least 1",
        "{\"stop_strings\": 5} | 'stop_strings' is 5, expected a list of strings",
        "[2] | expected a JSON object of at most 1 MiB; fetch the model's file again",
      })
  void aDamagedFileIsRefused(String json, String problem) {
    InvalidInputException e = assertThrows(InvalidInputException.class, () -> eos(json));
    assertEquals(folder.resolve("generation_config.json") + ": " + problem, e.getMessage());
  }

  @Test
  void whatItSaysOfSamplingIsReadAndWhatIsNotFollowedIsNamed() throws IOException {
    eos(
        """
        {"do_sample": true, "temperature": 0.6, "top_k": 20, "top_p": null,
         "repetition_penalty": 1.05, "max_new_tokens": 99, "stop_strings": "END",
         "num_beams": 4, "guidance_scale": 1.0, "suppress_tokens": [3], "bad_words_ids": []}
        """);
    GenerationConfig read = GenerationConfig.read(folder, config);
    assertEquals(true, read.doSample().orElseThrow());
    assertEquals(
        Map.of("temperature", 0.6, "top_k", 20.0, "repetition_penalty", 1.05), read.sampling());
    assertEquals(99, read.maxNewTokens().orElseThrow());
    assertEquals(List.of("END"), read.stopStrings());
    assertEquals(List.of("'num_beams' is 4", "'suppress_tokens' is [3]"), read.notFollowed());
  }
}
