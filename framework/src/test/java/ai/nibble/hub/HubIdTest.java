package ai.nibble.hub;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.InvalidInputException;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class HubIdTest {
  @Test
  void idsAreRead() {
    HubId plain = HubId.parse("HuggingFaceTB/SmolLM2-135M-Instruct").orElseThrow();
    assertEquals("HuggingFaceTB/SmolLM2-135M-Instruct", plain.repository());
    assertEquals("main", plain.wanted());
    HubId all = HubId.parse("org/name/q/m.Q4_K_M.gguf@refs/pr/3").orElseThrow();
    assertEquals(Optional.of("q/m.Q4_K_M.gguf"), all.file());
    assertEquals("refs/pr/3", all.wanted());
    assertEquals("org/name/q/m.Q4_K_M.gguf@refs/pr/3", all.toString());
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "",
        "name",
        "/org/name",
        "./org/name",
        "../x",
        "org/name/other",
        "a b/c",
        "org/x.gguf",
        "org/a--b",
        "org/a..b",
        "-x/y",
        "org/name@",
        "org/name@a b",
        "C:/x",
        "https://hub/org/name"
      })
  void whatIsNoIdIsNone(String text) {
    assertTrue(HubId.parse(text).isEmpty(), text);
  }

  @ParameterizedTest
  @ValueSource(
      strings = {"org/name@../main", "org/name@a..b", "org/name@-x", "org/name/a/../b.gguf"})
  void whatCannotBeIsRefused(String text) {
    assertThrows(InvalidInputException.class, () -> HubId.parse(text), text);
  }
}
