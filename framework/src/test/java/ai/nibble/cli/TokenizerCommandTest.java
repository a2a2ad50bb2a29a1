package ai.nibble.cli;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.data.ChatTemplate;
import ai.nibble.data.Tokenizer;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import picocli.CommandLine;

/** {@code nibble tokenizer}: what it writes, and what it refuses. */
final class TokenizerCommandTest {
  @TempDir Path temp;
  private final StringWriter out = new StringWriter();
  private final StringWriter err = new StringWriter();
  private Path rows;
  private Path folder;

  @BeforeEach
  void writeRows() throws IOException {
    rows = temp.resolve("rows.txt");
    folder = temp.resolve("tokenizer");
    Files.writeString(rows, "low lower lowest\nlow 2024 Größe\n");
  }

  private int tokenizer(String... more) {
    List<String> args = new ArrayList<>(List.of("tokenizer", "--input", rows.toString()));
    args.addAll(List.of("--out", folder.toString()));
    args.addAll(List.of(more));
    CommandLine command =
        Nibble.commandLine((recipe, writer) -> 0, (request, out, err) -> {})
            .setOut(new PrintWriter(out))
            .setErr(new PrintWriter(err));
    return Nibble.run(command, args.toArray(String[]::new));
  }

  @Test
  void whatItWritesIsATokenizerThatSplitsAsItWasTrained() throws IOException {
    Path template = temp.resolve("t.jinja");
    Files.writeString(template, "{{ messages[0].content }}<|end|>");
    int code =
        tokenizer(
            "--vocab-size",
            "262",
            "--special",
            "<|end|>",
            "--eos",
            "<|end|>",
            "--split",
            "words",
            "--chat-template",
            template.toString());
    assertEquals(0, code, err.toString());
    assertEquals(folder + ": 260 tokens, 3 merges, from 2 rows and 13 words\n", out.toString());
    assertEquals("note: --vocab-size is 262, but no other pair comes up 2 times\n", err.toString());
    try (Tokenizer tokenizer = Tokenizer.load(folder)) {
      assertEquals(0, tokenizer.eosId().getAsInt());
      assertEquals(260, tokenizer.vocabSize());
      int[] ids = tokenizer.encode("low2<|end|>").ids();
      int low = tokenizer.tokenToId("low").getAsInt();
      assertArrayEquals(new int[] {low, tokenizer.tokenToId("2").getAsInt(), 0}, ids);
      String text = "Größe: 20 😀\n\"low\"";
      assertEquals(text, tokenizer.decode(tokenizer.encode(text).ids(), false));
    }
    String rendered =
        ChatTemplate.load(folder, Map.of())
            .render(List.of(Map.of("role", "user", "content", "x")), List.of(), false);
    assertEquals("x<|end|>", rendered);
  }

  private void refused(String message, String... args) throws IOException {
    assertEquals(2, tokenizer(args));
    assertEquals("error: " + message + "\n", err.toString());
    err.getBuffer().setLength(0);
    try (Stream<Path> left = Files.list(temp)) {
      assertTrue(left.noneMatch(f -> f.getFileName().toString().startsWith(".tmp")));
    }
  }

  @Test
  void allMistakesAreNamedBeforeTheTextIsRead() throws IOException {
    Path template = temp.resolve("t.jinja");
    Files.writeString(template, "{% if %}");
    // text that would fail as soon as it were read
    Files.write(rows, new byte[] {(byte) 0xff});
    int code =
        tokenizer(
            "--input",
            temp.resolve("none.txt").toString(),
            "--vocab-size",
            "10",
            "--special",
            "<s>",
            "--bos",
            "<b>",
            "--eos",
            "<e>",
            "--split",
            "gpt",
            "--chat-template",
            template.toString());
    assertEquals(2, code);
    List<String> lines = err.toString().lines().toList();
    assertEquals(6, lines.size(), err.toString());
    assertTrue(lines.get(0).contains("none.txt: expected a data file, this is not there"));
    assertTrue(lines.get(1).contains("the vocabulary size is 10, expected at least 257"));
    assertTrue(lines.get(2).contains("--split is 'gpt'"));
    assertTrue(lines.get(3).startsWith("error: --chat-template " + template + ":"), lines.get(3));
    assertTrue(lines.get(4).contains("bos_token is '<b>', expected one of the special tokens"));
    assertTrue(lines.get(5).contains("eos_token is '<e>', expected one of the special tokens"));
    assertFalse(Files.exists(folder));
  }

  @Test
  void mistakesAreNamedAndNothingIsWritten() throws IOException {
    refused(
        "the vocabulary size is 10, expected at least 256: 256 bytes and 0 special tokens",
        "--vocab-size",
        "10");
    refused(
        "--split is 'gpt', expected one of [qwen2, words]",
        "--vocab-size",
        "300",
        "--split",
        "gpt");
    refused(
        "eos_token is '<e>', expected one of the special tokens [<s>]",
        "--vocab-size",
        "300",
        "--special",
        "<s>",
        "--eos",
        "<e>");
    Files.writeString(rows, "\n\n");
    refused("the input holds no text, expected some to learn from", "--vocab-size", "300");
    assertFalse(Files.exists(folder));
    Files.createDirectory(folder);
    refused(
        folder + " exists, expected a new directory: choose another, or remove it",
        "--vocab-size",
        "300");
  }
}
