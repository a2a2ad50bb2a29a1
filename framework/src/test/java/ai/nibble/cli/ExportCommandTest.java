package ai.nibble.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.TinyChat;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import picocli.CommandLine;

/** {@code nibble export}: what it says, and what it refuses. */
final class ExportCommandTest {
  @TempDir Path temp;
  private final StringWriter out = new StringWriter();
  private final StringWriter err = new StringWriter();
  private Path base;
  private Path file;

  @BeforeEach
  void writeABase() throws IOException {
    base = TinyChat.write(temp.resolve("base"));
    file = temp.resolve("m.gguf");
  }

  private int export(String... args) {
    List<String> all = new ArrayList<>(List.of("export"));
    all.addAll(List.of(args));
    CommandLine command =
        Nibble.commandLine((recipe, writer) -> 0, (request, out, err) -> {})
            .setOut(new PrintWriter(out))
            .setErr(new PrintWriter(err));
    return Nibble.run(command, all.toArray(String[]::new));
  }

  private int exportBase(String... more) {
    List<String> args = new ArrayList<>(List.of("--model", base.toString()));
    args.addAll(List.of("--out", file.toString()));
    args.addAll(List.of(more));
    return export(args.toArray(String[]::new));
  }

  @Test
  void aModelIsWrittenAndDescribed() {
    assertEquals(0, exportBase("--type", "f16", "--pre", "gpt-2"), err.toString());
    String text = out.toString();
    assertTrue(text.startsWith(file + ": F16, 21 tensors {F32=5, F16=16}, 0.0 MiB\n"), text);
    assertTrue(text.contains("ollama create NAME -f " + temp.resolve("m.Modelfile")), text);
    assertTrue(Files.exists(file));
    assertEquals("", err.toString());
  }

  @Test
  void aTypeThatIsNoneIsALineAndExit2() {
    assertEquals(2, exportBase("--type", "Q7"));
    assertTrue(err.toString().startsWith("error: --type is 'Q7', expected one of F32"));
    assertFalse(Files.exists(file));
  }

  @ParameterizedTest
  @CsvSource({
    "--out=x, 'Missing required option: --model, or --adapter, or both'",
    "--model=m --out=x --peft, 'Missing required option: --adapter, which is to be written'",
    "--adapter=a --out=x --peft --adapter-only, 'Expected one of --adapter-only and --peft'",
    "--adapter=a --out=x --peft --pre=gpt-2, '--chat-template and --pre belong to a model'",
    "--adapter=a, 'Missing required option: '"
  })
  void optionsThatDoNotGoTogetherAreRefused(String args, String expected) {
    assertEquals(2, export(args.split(" ")));
    assertTrue(err.toString().startsWith("error: " + expected), err.toString());
  }

  @Test
  void theOptionIsCalledOutputAsElsewhereToo() {
    String other = temp.resolve("other.gguf").toString();
    assertEquals(2, export("--model", temp.toString(), "--output", other, "--type", "Q7"));
    assertTrue(err.toString().startsWith("error: --type is 'Q7'"), err.toString());
  }

  @Test
  void anAdapterWhoseBaseIsGoneAsksForIt() throws IOException {
    Path adapter = Files.createDirectory(temp.resolve("adapter"));
    Files.writeString(
        adapter.resolve("adapter_config.json"),
        """
        {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 2, "lora_alpha": 4,
         "base_model_name_or_path": "../gone", "target_modules": ["q_proj"]}
        """);
    assertEquals(2, export("--adapter", adapter.toString(), "--out", file.toString()));
    assertEquals(
        "error: " + adapter + ": its base model '../gone' is not there: give it with --model DIR\n",
        err.toString());
    assertEquals(
        2,
        export("--adapter", adapter.toString(), "--out", file.toString(), "--peft", "--type=F16"));
    assertTrue(
        err.toString().endsWith("error: --type is 'F16', expected F32 or BF16 for --peft\n"));
  }
}
