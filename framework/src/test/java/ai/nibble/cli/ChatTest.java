package ai.nibble.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.TinyChat;
import ai.nibble.generate.StopStrings;
import ai.nibble.lora.RandomAdapter;
import ai.nibble.model.CausalLm;
import ai.nibble.model.LoadOptions;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Device;
import ai.nibble.tensor.Tensor;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.OptionalLong;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** {@code nibble chat} from what is typed to what is said, with a random model of bytes. */
final class ChatTest {
  private static final int TOKENS = 6;

  @TempDir Path temp;
  private final StringWriter out = new StringWriter();
  private final StringWriter err = new StringWriter();
  private final Map<String, Path> adapters = new LinkedHashMap<>();
  private Path model;
  private long liveBefore;

  @BeforeEach
  void writeAModel() throws IOException {
    liveBefore = Tensor.live();
    model = TinyChat.write(temp.resolve("model"));
    try (CausalLm loaded = CausalLm.load(model, LoadOptions.unquantized(DType.FLOAT32))) {
      adapters.put("a", RandomAdapter.save(loaded, 2, 1, temp.resolve("a")));
      adapters.put("b", RandomAdapter.save(loaded, 4, 2, temp.resolve("b")));
    }
  }

  @AfterEach
  void everyTensorIsClosed() {
    assertEquals(liveBefore, Tensor.live());
  }

  private ChatRequest request(int maxNewTokens) {
    return new ChatRequest(
        new ModelRequest(
            Optional.of(model), adapters, Optional.empty(), Optional.of(DType.FLOAT32), Device.CPU),
        new SamplingRequest(
            Map.of(), true, OptionalInt.of(maxNewTokens), OptionalLong.empty(), StopStrings.NONE),
        Optional.empty(),
        true);
  }

  /** Types lines; returns what is said on standard output. */
  private String chat(int maxNewTokens, String... lines) {
    out.getBuffer().setLength(0);
    err.getBuffer().setLength(0);
    byte[] typed = (String.join("\n", lines) + "\n").getBytes(StandardCharsets.UTF_8);
    Terminal terminal =
        new Terminal(
            new ByteArrayInputStream(typed), new PrintWriter(out), new PrintWriter(err), false);
    Chat.run(request(maxNewTokens), terminal);
    return out.toString();
  }

  private String chat(String... lines) {
    return chat(TOKENS, lines);
  }

  /** What was said before, from the row that /save writes. */
  private List<List<String>> saved(Path file) throws IOException {
    List<List<String>> turns = new ArrayList<>();
    for (JsonNode message : new ObjectMapper().readTree(file.toFile()).get("messages")) {
      turns.add(List.of(message.get("role").asText(), message.get("content").asText()));
    }
    return turns;
  }

  /** The answer to a conversation that is given whole, by generate. */
  private String generated(Path conversation, String adapter) throws IOException {
    StringWriter answer = new StringWriter();
    GenerateRequest request =
        new GenerateRequest(
            request(TOKENS).model(),
            request(TOKENS).sampling(),
            Optional.empty(),
            Optional.of(conversation),
            Optional.empty(),
            false,
            adapter,
            true);
    Generation.run(request, new PrintWriter(answer), new PrintWriter(new StringWriter()));
    return new ObjectMapper().readTree(answer.toString()).get("answer").asText();
  }

  private void writeMessages(Path file, List<List<String>> turns) throws IOException {
    List<Map<String, String>> messages =
        turns.stream().map(t -> Map.of("role", t.get(0), "content", t.get(1))).toList();
    Files.writeString(
        file, new ObjectMapper().writeValueAsString(Map.of("messages", messages)) + "\n");
  }

  @Test
  void everyTurnIsAnsweredAsAConversationGivenWholeIs() throws IOException {
    Path saved = temp.resolve("chat.jsonl");
    chat("hello", "größe?", "", "third", "/save " + saved);
    List<List<String>> turns = saved(saved);
    assertEquals(6, turns.size());
    assertEquals(List.of("user", "größe?"), turns.get(2));
    StringBuilder expected = new StringBuilder();
    for (int turn = 1; turn < 6; turn += 2) {
      Path part = temp.resolve("part.jsonl");
      writeMessages(part, turns.subList(0, turn));
      assertEquals(generated(part, "a"), turns.get(turn).get(1), "turn " + turn);
      expected.append(turns.get(turn).get(1)).append(System.lineSeparator());
    }
    assertEquals(expected.toString(), out.toString());
    List<String> cached = err.toString().lines().filter(l -> l.contains("were cached")).toList();
    assertEquals(3, cached.size());
    assertTrue(cached.get(0).contains("; 0 tokens of the prompt were cached"), cached.get(0));
    assertTrue(cached.get(1).matches(".*; [1-9]\\d* tokens of the prompt.*"), cached.get(1));
  }

  @Test
  void adaptersAreComparedOnTheSameQuestion() throws IOException {
    String said =
        chat(
            "q",
            "/reset",
            "/adapter off",
            "q",
            "/reset",
            "/adapter b",
            "q",
            "/adapter",
            "/reset",
            "/adapter a",
            "q");
    Path file = temp.resolve("q.jsonl");
    writeMessages(file, List.of(List.of("user", "q")));
    List<String> expected = new ArrayList<>();
    for (String adapter : List.of("a", "off", "b", "a")) {
      expected.add(generated(file, adapter));
    }
    String line = System.lineSeparator();
    assertEquals(String.join(line, expected) + line, said);
    assertEquals(3, expected.stream().distinct().count(), expected.toString());
    assertTrue(err.toString().contains("note: adapter b, of [a, b]"), err.toString());
  }

  @Test
  void theSystemTurnIsSetAndLeftOut() throws IOException {
    Path with = temp.resolve("with.jsonl");
    Path without = temp.resolve("without.jsonl");
    chat("/system be brief", "x", "/save " + with, "/system", "/save " + without);
    assertEquals(List.of("system", "be brief"), saved(with).get(0));
    assertTrue(
        Files.readString(with)
            .startsWith("{\"messages\":[{\"role\":\"system\",\"content\":\"be brief\"}"));
    writeMessages(temp.resolve("s.jsonl"), saved(with).subList(0, 2));
    assertEquals(generated(temp.resolve("s.jsonl"), "a"), saved(with).get(2).get(1));
    assertEquals(saved(with).subList(1, 3), saved(without));
  }

  @Test
  void mistakesAreOneLineEachAndTheChatGoesOn() throws IOException {
    Path taken = Files.writeString(temp.resolve("taken"), "mine");
    String said =
        chat(
            "/adapter c",
            "/rest",
            "/save",
            "/save " + temp.resolve("new"),
            "x".repeat(600),
            "hi",
            "/save " + taken,
            "/save " + temp.resolve("none/x"),
            "/help");
    Path file = temp.resolve("hi.jsonl");
    writeMessages(file, List.of(List.of("user", "hi")));
    assertEquals(generated(file, "a") + System.lineSeparator(), said);
    List<String> errors =
        err.toString().lines().filter(line -> line.startsWith("error: ")).toList();
    assertEquals(
        List.of(
            "error: no adapter 'c', expected one of [a, b, off]",
            "error: no command '/rest': /help lists them; //TEXT says /TEXT",
            "error: /save names no file, expected /save FILE",
            "error: /save: nothing was said yet"),
        errors.subList(0, 4));
    assertTrue(errors.get(4).startsWith("error: the prompt has 6"), errors.get(4));
    assertTrue(errors.get(4).endsWith("; /reset begins a new conversation"), errors.get(4));
    assertEquals("error: " + taken + " exists: give a new file's name", errors.get(5));
    assertTrue(errors.get(6).contains("none/x cannot be written"), errors.get(6));
    assertEquals(7, errors.size(), errors.toString());
    assertEquals("mine", Files.readString(taken));
    assertTrue(err.toString().contains("/reset         forgets what was said"));
  }

  @Test
  void linesThatEndInABackslashGoOnAndDoubleSlashesAreText() throws IOException {
    Path saved = temp.resolve("s.jsonl");
    chat("one\\", "two", "//etc is a path", "/save " + saved, "/save " + saved, "/quit", "never");
    List<List<String>> turns = saved(saved);
    assertEquals(List.of("user", "one\ntwo"), turns.get(0));
    assertEquals(List.of("user", "/etc is a path"), turns.get(2));
    assertEquals(4, turns.size());
  }

  @Test
  void anAnswerThatNobodyReadsEndsTheChat() throws IOException {
    PrintWriter gone =
        new PrintWriter(
            new java.io.Writer() {
              @Override
              public void write(char[] text, int from, int length) throws IOException {
                throw new IOException("gone");
              }

              @Override
              public void flush() throws IOException {
                throw new IOException("gone");
              }

              @Override
              public void close() {}
            });
    byte[] typed = "a\nb\nc\n".getBytes(StandardCharsets.UTF_8);
    Chat.run(
        request(500),
        new Terminal(new ByteArrayInputStream(typed), gone, new PrintWriter(err), false));
    assertEquals(1, err.toString().lines().filter(l -> l.contains("tokens/s")).count());
    assertTrue(err.toString().contains("cancelled"), err.toString());
  }

  @Test
  void ctrlCCancelsTheAnswerAndASecondOneEnds() {
    List<String> happened = new ArrayList<>();
    Interrupts interrupts = new Interrupts(() -> happened.add("hint"), () -> happened.add("end"));
    interrupts.begin(() -> happened.add("cancel"));
    interrupts.interrupt();
    assertEquals(List.of("cancel"), happened);
    interrupts.idle();
    interrupts.begin(() -> happened.add("cancel"));
    interrupts.interrupt();
    interrupts.interrupt();
    assertEquals(List.of("cancel", "cancel", "end"), happened);
    happened.clear();
    interrupts.idle();
    interrupts.interrupt();
    interrupts.interrupt();
    assertEquals(List.of("hint", "end"), happened);
    happened.clear();
    interrupts.idle();
    interrupts.interrupt();
    interrupts.idle();
    interrupts.interrupt();
    assertEquals(List.of("hint", "hint"), happened, "what was typed in between makes it new");
  }
}
