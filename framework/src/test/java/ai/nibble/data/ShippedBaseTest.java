package ai.nibble.data;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.Shared;
import ai.nibble.data.format.RowFormat;
import ai.nibble.model.ModelConfig;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/** The tokenizer, template and configuration in models/nibble-5m, on the shipped commands. */
final class ShippedBaseTest {
  private static final java.nio.file.Path BASE = Shared.root().resolve("models/nibble-5m");

  /** The longest command; four of them fit into the model's context. */
  private static final int LONGEST = 128;

  private static Tokenizer tokenizer;
  private static ChatTemplate template;

  @BeforeAll
  static void open() {
    tokenizer = Tokenizer.load(BASE);
    template = ChatTemplate.load(BASE, Map.of());
  }

  @AfterAll
  static void close() {
    tokenizer.close();
  }

  private static List<Sample.Conversation> commands(String file) {
    List<Sample.Conversation> commands = new ArrayList<>();
    try (RowFile rows = new RowFile(Shared.root().resolve("datasets/commands/" + file), Map.of())) {
      rows.forEachRemaining(
          row -> commands.add((Sample.Conversation) RowFormat.named("messages").read(row)));
    }
    return commands;
  }

  @Test
  void theConfigurationFitsTheTokenizer() {
    ModelConfig config = ModelConfig.read(BASE.resolve("config.json"));
    assertEquals(tokenizer.vocabSize(), config.vocabSize());
    assertEquals(tokenizer.bosId(), config.bosTokenId());
    assertEquals(tokenizer.padId(), config.padTokenId());
    assertEquals(List.of(tokenizer.eosId().getAsInt()), config.eosTokenIds());
    assertEquals("<|im_end|>", tokenizer.decode(new int[] {config.eosTokenIds().get(0)}, false));
    assertEquals(0, tokenizer.textPrefix().length);
  }

  @Test
  void theTemplateWritesNothingButTheTurns() {
    List<Map<String, Object>> turns =
        List.of(
            Map.of("role", "user", "content", " Hi\n"),
            Map.of("role", "assistant", "content", "Yo"));
    assertEquals(
        "<|im_start|>user\n Hi\n<|im_end|>\n<|im_start|>assistant\nYo<|im_end|>\n",
        template.render(turns, List.of(), false));
    assertEquals(
        "<|im_start|>user\n Hi\n<|im_end|>\n<|im_start|>assistant\n",
        template.render(turns.subList(0, 1), List.of(), true));
  }

  @Test
  void lossFallsOnTheCommandAndTheEndOfItsTurn() {
    ExampleEncoder encoder =
        new ExampleEncoder(tokenizer, template, EncodingSettings.withLength(LONGEST));
    List<Sample.Conversation> commands = commands("test.jsonl");
    assertEquals(200, commands.size());
    for (Sample.Conversation command : commands) {
      Example example = encoder.encode(command);
      assertTrue(example.length() <= LONGEST, () -> command + ": " + example.length());
      int[] trained =
          Arrays.stream(example.labels()).filter(label -> label != Example.IGNORED).toArray();
      String answer = (String) command.messages().get(1).get("content");
      assertEquals(answer + "<|im_end|>", tokenizer.decode(trained, false));
      assertEquals(tokenizer.eosId().getAsInt(), trained[trained.length - 1]);
      // Only the line's end behind the turn follows, which carries no loss.
      assertEquals(Example.IGNORED, example.labels()[example.length() - 1]);
      assertEquals(trained[trained.length - 1], example.labels()[example.length() - 2]);
    }
  }

  @Test
  void noCommandIsLongerThanExpected() {
    List<Sample.Conversation> commands = commands("train.jsonl");
    assertEquals(4500, commands.size());
    for (Sample.Conversation command : commands) {
      String text = template.render(command.messages(), List.of(), false);
      assertTrue(tokenizer.encode(text).length() <= LONGEST, text);
    }
  }

  /** What a request says in prose has the same tokens inside JSON. */
  @Test
  void aValueHasTheSameTokensWhereverItStands() {
    for (String value :
        List.of("Twoslusnan", "Cape Town", "07:35", "My Rough Klesmiolm", "Größe")) {
      int[] alone = tokenizer.encode(value).ids();
      for (String around : List.of("to %s.", "\"%s\"", "{\"city\":\"%s\"}", "(%s)", "%s, please")) {
        int[] ids = tokenizer.encode(around.formatted(value)).ids();
        int before = tokenizer.encode(around.substring(0, around.indexOf('%'))).length();
        assertArrayEquals(
            alone, Arrays.copyOfRange(ids, before, before + alone.length), around + " " + value);
      }
    }
  }
}
