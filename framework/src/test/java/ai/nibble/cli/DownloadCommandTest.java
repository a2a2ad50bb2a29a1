package ai.nibble.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.InvalidInputException;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import picocli.CommandLine;

/** Tests run offline, on a cache of their own: what is fetched is HubModels' matter. */
class DownloadCommandTest {
  private static final String OFFLINE =
      "org/none: the cache .* has no revision 'main' of it, and HF_HUB_OFFLINE is set: fetch it"
          + " with 'nibble download org/none' where there is a network";

  @TempDir private Path temp;

  private final StringWriter out = new StringWriter();
  private final StringWriter err = new StringWriter();

  private int run(String... args) {
    CommandLine command =
        Nibble.commandLine((recipe, writer) -> 0, (request, out, err) -> {})
            .setOut(new PrintWriter(out))
            .setErr(new PrintWriter(err));
    return Nibble.run(command, args);
  }

  @ParameterizedTest
  @ValueSource(strings = {"", "name", "https://hub/org/name", "a b/c", "org/name@"})
  void whatIsNoIdIsRefused(String text) {
    assertEquals(2, run("download", text));
    assertTrue(err.toString().contains("'" + text + "' is no id of a model, expected ORG/NAME"));
  }

  @Test
  void twoRevisionsAreRefused() {
    assertEquals(2, run("download", "org/none@main", "--revision", "v1"));
    assertTrue(err.toString().contains("the revision is given twice"), err.toString());
  }

  @Test
  void offlineWhatIsNotThereIsSaid() {
    assertEquals(2, run("download", "org/none"));
    assertTrue(err.toString().strip().matches("error: " + OFFLINE), err.toString());
    assertEquals("", out.toString());
  }

  @Test
  void aBaseOfACommandMayBeAnId() {
    assertEquals(2, run("generate", "--model", "org/none", "--prompt", "x"));
    String message = err.toString();
    assertTrue(message.contains("nothing is at 'org/none', and org/none: the cache"), message);
    assertEquals(Path.of("no/such/path"), new BaseArgument().convert("no/such/path"));
  }

  @Test
  void anAdapterMayNameOne() throws IOException {
    Files.writeString(
        temp.resolve("adapter_config.json"),
        """
        {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 2, "lora_alpha": 4,
         "base_model_name_or_path": "org/none", "target_modules": ["q_proj"]}
        """);
    String message =
        assertThrows(InvalidInputException.class, () -> BaseOfAdapter.find(temp, Optional.empty()))
            .getMessage();
    assertTrue(
        message.matches(
            List.of(temp.toString(), ": its base model: ", OFFLINE, "; or give it with --model DIR")
                .stream()
                .reduce("", String::concat)),
        message);
  }
}
