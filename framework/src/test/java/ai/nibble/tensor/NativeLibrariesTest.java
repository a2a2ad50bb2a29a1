package ai.nibble.tensor;

import static org.junit.jupiter.api.Assertions.assertDoesNotThrow;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import ai.nibble.InvalidInputException;
import org.junit.jupiter.api.Test;

/** Which libtorch is taken. */
class NativeLibrariesTest {
  @Test
  void anEngineOfAnotherVersionIsRefused() {
    assertDoesNotThrow(() -> NativeLibraries.requireVersion("2.7.1"));
    InvalidInputException e =
        assertThrows(InvalidInputException.class, () -> NativeLibraries.requireVersion("2.5.1"));
    assertEquals(
        "the PyTorch engine is version 2.5.1, expected 2.7.1: put pytorch-native-cpu 2.7.1 on the"
            + " class path, unset PYTORCH_VERSION, or name a libtorch by NIBBLE_LIBTORCH=DIR",
        e.getMessage());
  }
}
