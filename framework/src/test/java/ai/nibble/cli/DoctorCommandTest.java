package ai.nibble.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.tensor.Torch;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import org.junit.jupiter.api.Test;

/** The command on the machine that the tests run on, which has a libtorch. */
class DoctorCommandTest {
  private final StringWriter out = new StringWriter();

  private int doctor(String... options) {
    String[] args = new String[options.length + 1];
    args[0] = "doctor";
    System.arraycopy(options, 0, args, 1, options.length);
    return Nibble.commandLine((recipe, console) -> 0, (request, console, err) -> {})
        .setOut(new PrintWriter(out, true))
        .execute(args);
  }

  @Test
  void itTellsWhatIsThere() {
    assertEquals(0, doctor());
    String text = out.toString();
    assertTrue(text.startsWith("system"), text);
    assertTrue(text.contains("  version           " + Torch.version()), text);
    assertTrue(text.contains("  directory         " + Torch.directory()), text);
    assertTrue(text.contains("training can run on the"), text);
  }

  @Test
  void itTellsProgramsTheSame() throws IOException {
    assertEquals(0, doctor("--json"));
    JsonNode json = new ObjectMapper().readTree(out.toString());
    assertTrue(json.get("can_train").asBoolean());
    assertEquals(Torch.version(), json.at("/libtorch/version").asText());
    assertEquals(Torch.cudaDeviceCount(), json.at("/libtorch/gpus").asInt());
    assertTrue(json.at("/system/java_heap_bytes").asLong() > 0);
    assertFalse(json.at("/cuda/kernel_cache").asText().isEmpty());
  }
}
