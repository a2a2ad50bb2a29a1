package ai.nibble.model;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.InvalidInputException;
import ai.nibble.Shared;
import ai.nibble.data.ChatTemplate;
import ai.nibble.data.Tokenizer;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.regex.Pattern;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** SmolLM 2 out of its GGUF file with nothing beside it, against its Hugging Face form. */
@Tag("golden")
class GgufAloneTest {
  private static final ObjectMapper JSON = new ObjectMapper();
  private static final String NAME = "SmolLM2-135M-Instruct.Q4_1.gguf";

  private static final List<String> AWKWARD =
      List.of(
          "",
          " ",
          "\n\n1. one\n  22 two",
          "naïve café e\u0301 ﬁ ẞ ǅ",
          "日本語、мир؟ हिन्दी ไทย 🙂 👩‍👩‍👧‍👦 🇩🇪 \uD83D\uDE00",
          "\u00a0\u200b\u200d\ufeff\u2028\u0000\u007f\u0085",
          "  x\t\t\ty   \r\n \n\n\n z",
          "½ ² Ⅷ ٣٤ 一二 12345 1e-5 3.14",
          "'s 'S 'll I'VE don't",
          "<|im_start|>user\n<|im_end|> <repo_name> <|unknown|>",
          " ".repeat(300) + "y" + "ß".repeat(300));

  /**
   * Where parting digits off first makes other words: behind two blanks, and among numbers of other
   * scripts, which merges join.
   */
  private static final Pattern PARTED = Pattern.compile("(?U)\\s\\s\\p{N}|[\\p{N}&&[^0-9]]{2}");

  @TempDir private Path temp;

  @AfterEach
  void removeTheLink() throws IOException {
    Files.deleteIfExists(temp.resolve(NAME));
  }

  private static Path huggingFace() {
    return Shared.path("models/smollm2-135m-instruct");
  }

  private Path alone() throws IOException {
    Path file = temp.resolve(NAME);
    if (!Files.exists(file)) {
      Files.createSymbolicLink(file, huggingFace().resolve(NAME));
    }
    return file;
  }

  private static List<String> texts() throws IOException {
    List<String> texts = new ArrayList<>(AWKWARD);
    texts.add(Files.readString(Shared.path("data/wikitext2_test.txt")));
    texts.addAll(Files.readAllLines(Shared.path("data/wikitext2_test.txt")));
    for (String rows : List.of("data/gsm8k_train.jsonl", "data/gsm8k_test.jsonl")) {
      for (String line : Files.readAllLines(Shared.path(rows))) {
        JSON.readTree(line).forEach(value -> texts.add(value.asText()));
      }
    }
    for (JsonNode row : JSON.readTree(Shared.path("data/alpaca_en_demo.json").toFile())) {
      row.forEach(value -> texts.add(value.asText()));
    }
    return texts;
  }

  /**
   * The shared tokenizer.json was made from this GGUF by transformers, which knows no pre-tokenizer
   * 'smollm' and leaves out its first step, each digit by itself; the published tokenizer and
   * llama.cpp have it. So the ids are the file's with that step put back, for all texts; and the
   * file's as it is wherever the step changes nothing.
   */
  @Test
  void itsIdsAreThoseOfItsHuggingFaceForm() throws IOException {
    ObjectNode file = (ObjectNode) JSON.readTree(huggingFace().resolve("tokenizer.json").toFile());
    JsonNode bytes = file.get("pre_tokenizer");
    assertEquals("ByteLevel", bytes.get("type").asText());
    ArrayNode steps =
        file.putObject("pre_tokenizer").put("type", "Sequence").putArray("pretokenizers");
    steps.addObject().put("type", "Digits").put("individual_digits", true);
    steps.add(bytes);
    Path published = temp.resolve("published.json");
    Files.writeString(published, file.toString());
    int same = 0;
    try (Tokenizer ours = Tokenizer.load(WeightSource.directory(alone()));
        Tokenizer shared = Tokenizer.load(huggingFace());
        Tokenizer theirs = Tokenizer.load(published)) {
      List<String> texts = texts();
      for (String text : texts) {
        int[] ids = ours.encode(text).ids();
        assertArrayEquals(theirs.encode(text).ids(), ids, text);
        if (!PARTED.matcher(text).find()) {
          assertArrayEquals(shared.encode(text).ids(), ids, text);
          same++;
        }
      }
      for (String text : AWKWARD) {
        int[] ids = ours.encode(text).ids();
        assertEquals(theirs.decode(ids, false), ours.decode(ids, false));
        assertEquals(theirs.decode(ids, true), ours.decode(ids, true));
      }
      assertTrue(texts.size() > 9_000, texts.size() + " texts");
      assertTrue(same > 0.9 * texts.size(), same + " of " + texts.size());
      assertEquals(shared.specialTokens().texts(), ours.specialTokens().texts());
      assertArrayEquals(shared.textPrefix(), ours.textPrefix());
      assertEquals(shared.vocabSize(), ours.vocabSize());
    }
  }

  @Test
  void itsConfigurationAndItsWaysOfGeneratingAreThose() throws IOException {
    Path directory = WeightSource.directory(alone());
    ModelConfig ours = ModelConfig.read(directory.resolve("config.json"));
    ModelConfig theirs = ModelConfig.read(huggingFace().resolve("config.json"));
    assertEquals(theirs, ours);
    assertEquals(
        GenerationConfig.read(huggingFace(), theirs), GenerationConfig.read(directory, ours));
  }

  @Test
  void itsTemplateRendersThose() throws IOException {
    ChatTemplate ours = ChatTemplate.load(WeightSource.directory(alone()), Map.of());
    ChatTemplate theirs = ChatTemplate.load(huggingFace(), Map.of());
    Map<String, Object> user = Map.of("role", "user", "content", "Hi {{ there }} <|im_end|>");
    Map<String, Object> system = Map.of("role", "system", "content", "Be brief.\n");
    Map<String, Object> assistant = Map.of("role", "assistant", "content", " Hello ");
    for (List<Map<String, Object>> messages :
        List.of(List.of(user), List.of(system, user, assistant), List.of(user, assistant, user))) {
      for (boolean prompt : new boolean[] {false, true}) {
        assertEquals(
            theirs.render(messages, List.of(), prompt), ours.render(messages, List.of(), prompt));
      }
    }
  }

  @Test
  void itsWeightsAreThoseOfTheFileWithHuggingFaceFilesBesideIt() throws IOException {
    try (WeightSource ours = WeightSource.open(alone());
        WeightSource theirs = WeightSource.open(huggingFace().resolve(NAME))) {
      assertEquals(theirs.names(), ours.names());
      assertEquals(theirs.config(), ours.config());
      for (String name : List.of("model.layers.3.self_attn.k_proj.weight", "model.norm.weight")) {
        float[] a = new float[576];
        float[] b = new float[576];
        ours.readHeld(name, 0, a, 0, a.length);
        theirs.readHeld(name, 0, b, 0, b.length);
        assertArrayEquals(b, a, name);
      }
    }
  }

  @Test
  void aTokenizerWithoutAConfigurationBesideItIsRefused() throws IOException {
    Path file = alone();
    Files.writeString(temp.resolve("tokenizer.json"), "{}");
    String message =
        assertThrows(InvalidInputException.class, () -> WeightSource.directory(file)).getMessage();
    assertEquals(
        file
            + ": has a tokenizer.json beside it but no config.json, expected both or none: put the"
            + " original model's config.json there, or the file into a directory of its own",
        message);
  }
}
