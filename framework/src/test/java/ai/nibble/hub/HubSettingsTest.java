package ai.nibble.hub;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.InvalidInputException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The variables and their order are those of huggingface_hub's constants.py. */
class HubSettingsTest {
  @TempDir private Path home;

  private HubSettings of(Map<String, String> environment) {
    return HubSettings.of(environment, home);
  }

  @Test
  void theCacheIsWhereThePythonToolsHaveIt() {
    assertEquals(home.resolve(".cache/huggingface/hub"), of(Map.of()).cache());
    assertEquals(Path.of("/x/huggingface/hub"), of(Map.of("XDG_CACHE_HOME", "/x")).cache());
    assertEquals(Path.of("/hf/hub"), of(Map.of("XDG_CACHE_HOME", "/x", "HF_HOME", "/hf")).cache());
    assertEquals(Path.of("/c"), of(Map.of("HF_HUB_CACHE", "/c", "HF_HOME", "/hf")).cache());
    assertEquals(home.resolve("hf/hub"), of(Map.of("HF_HOME", "~/hf")).cache());
  }

  @Test
  void theTokenComesFromTheEnvironmentOrAFile() throws IOException {
    assertTrue(of(Map.of()).token().isEmpty());
    assertEquals("Bearer hf_a", of(Map.of("HF_TOKEN", " hf_a\n")).token().orElseThrow().header());
    Path file = Files.createDirectories(home.resolve(".cache/huggingface")).resolve("token");
    Files.writeString(file, "hf_b\n");
    assertEquals("Bearer hf_b", of(Map.of()).token().orElseThrow().header());
    assertTrue(of(Map.of("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")).token().isEmpty());
    Path other = Files.writeString(home.resolve("t"), "hf_c");
    assertEquals(
        "Bearer hf_c",
        of(Map.of("HF_TOKEN_PATH", other.toString())).token().orElseThrow().header());
    assertFalse(of(Map.of("HF_TOKEN", "hf_a")).toString().contains("hf_a"));
  }

  @Test
  void whatIsNoTokenIsRefusedUnseen() {
    String message =
        assertThrows(InvalidInputException.class, () -> of(Map.of("HF_TOKEN", "hf\nX-Evil: 1")))
            .getMessage();
    assertFalse(message.contains("Evil"), message);
    assertTrue(message.startsWith("HF_TOKEN: is no token"), message);
  }

  @Test
  void offlineAndMirrorsAreRead() {
    assertFalse(of(Map.of("HF_HUB_OFFLINE", "0")).offline());
    assertTrue(of(Map.of("HF_HUB_OFFLINE", "1")).offline());
    assertTrue(of(Map.of("TRANSFORMERS_OFFLINE", "YES")).offline());
    assertEquals("https://huggingface.co", of(Map.of()).endpoint().toString());
    assertEquals(
        "https://hf-mirror.com/x",
        of(Map.of("HF_ENDPOINT", "https://hf-mirror.com/x/")).endpoint().toString());
  }

  @ParameterizedTest
  @ValueSource(
      strings = {"hf-mirror.com", "file:///x", "https://user:pw@host", "http://", "http://a b"})
  void whatIsNoEndpointIsRefused(String text) {
    String message =
        assertThrows(InvalidInputException.class, () -> of(Map.of("HF_ENDPOINT", text)))
            .getMessage();
    assertFalse(message.contains("pw"), message);
  }
}
