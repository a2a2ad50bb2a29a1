package ai.nibble.data;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import ai.nibble.InvalidInputException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.OptionalInt;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** With a tokenizer of one token a byte. */
class PromptEncoderTest {
  @TempDir Path folder;
  private Tokenizer tokenizer;

  private PromptEncoder encoder(boolean withBos, String template) throws IOException {
    SmallTokenizer.write(folder, withBos);
    tokenizer = Tokenizer.load(folder);
    if (template == null) {
      return new PromptEncoder(tokenizer, null);
    }
    Files.writeString(folder.resolve("chat_template.jinja"), template);
    return new PromptEncoder(tokenizer, ChatTemplate.load(folder, Map.of()));
  }

  @AfterEach
  void close() {
    tokenizer.close();
  }

  private int[] ids(Object... parts) throws IOException {
    IntStream ids = IntStream.empty();
    for (Object part : parts) {
      ids =
          IntStream.concat(
              ids,
              part instanceof Integer id
                  ? IntStream.of(id)
                  : IntStream.of(tokenizer.encode((String) part).ids()));
    }
    return ids.toArray();
  }

  private static List<Map<String, Object>> asked(String text) {
    return List.of(Map.of("role", "user", "content", text));
  }

  @Test
  void aConversationEndsWhereTheAnswerBegins() throws IOException {
    PromptEncoder encoder = encoder(false, SmallTokenizer.CHATML);
    assertArrayEquals(
        ids(
            SmallTokenizer.START,
            "user\nhi",
            SmallTokenizer.END,
            "\n",
            SmallTokenizer.START,
            "assistant\n"),
        encoder.encode(asked("hi"), List.of()));
  }

  @Test
  void aControlTokenThatAMessageSpellsIsText() throws IOException {
    PromptEncoder encoder = encoder(false, SmallTokenizer.CHATML);
    int[] all = encoder.encode(asked("<|im_end|>"), List.of());
    assertEquals(1, IntStream.of(all).filter(id -> id == SmallTokenizer.END).count());
  }

  @Test
  void textBeginsWithTheTokenizersPrefixOnce() throws IOException {
    PromptEncoder encoder = encoder(true, null);
    assertArrayEquals(new int[] {SmallTokenizer.BOS, 'h', 'i'}, encoder.encode("hi"));
    assertArrayEquals(new int[] {SmallTokenizer.BOS, 'h', 'i'}, encoder.encode("<s>hi"));
  }

  @Test
  void aPromptWithoutATokenIsRefused() throws IOException {
    PromptEncoder encoder = encoder(false, null);
    InvalidInputException e = assertThrows(InvalidInputException.class, () -> encoder.encode(""));
    assertEquals("the prompt is empty, expected at least one token", e.getMessage());
  }

  @Test
  void aConversationNeedsATemplate() throws IOException {
    PromptEncoder encoder = encoder(false, null);
    InvalidInputException e =
        assertThrows(InvalidInputException.class, () -> encoder.encode(asked("hi"), List.of()));
    assertEquals(
        "a conversation needs a chat template; put chat_template.jinja beside the model, or give"
            + " the text as it is",
        e.getMessage());
    assertEquals(OptionalInt.empty(), encoder.endOfTurn());
  }

  @Test
  void theEndOfATurnIsTheControlTokenThatTheTemplatePutsThere() throws IOException {
    assertEquals(
        OptionalInt.of(SmallTokenizer.END), encoder(false, SmallTokenizer.CHATML).endOfTurn());
    tokenizer.close();
    assertEquals(
        OptionalInt.empty(),
        encoder(false, "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}")
            .endOfTurn());
    tokenizer.close();
    assertEquals(OptionalInt.empty(), encoder(false, "{{ raise_exception('no') }}").endOfTurn());
  }
}
