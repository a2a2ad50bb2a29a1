package ai.nibble.export;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.InvalidInputException;
import ai.nibble.Shared;
import ai.nibble.lora.AdapterConfigFile;
import ai.nibble.safetensors.SafetensorsFile;
import ai.nibble.tensor.Bfloat16;
import ai.nibble.tensor.DType;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

class PeftExportTest {
  @TempDir Path temp;

  private static Path adapter() {
    return Shared.fixtures("lora").resolve("llama_rslora");
  }

  private static float[] values(SafetensorsFile file, String name) {
    float[] values = new float[(int) file.tensor(name).elements()];
    file.readFloats(name, 0, values, 0, values.length);
    return values;
  }

  private static void assertCopied(Path weights, DType dtype) {
    try (SafetensorsFile before =
            SafetensorsFile.open(adapter().resolve("adapter_model.safetensors"));
        SafetensorsFile after = SafetensorsFile.open(weights)) {
      assertEquals(before.names(), after.names());
      for (String name : before.names()) {
        assertEquals(dtype, after.tensor(name).dtype().orElseThrow());
        assertEquals(before.tensor(name).shape(), after.tensor(name).shape());
        float[] expected = values(before, name);
        for (int i = 0; i < expected.length && dtype == DType.BFLOAT16; i++) {
          expected[i] = Bfloat16.round(expected[i]);
        }
        assertArrayEquals(expected, values(after, name), name);
      }
    }
  }

  @ParameterizedTest
  @EnumSource(names = {"FLOAT32", "BFLOAT16"})
  void aDirectoryHoldsTheSameAdapter(DType dtype) throws IOException {
    Path out = temp.resolve("copy");
    assertEquals(42, PeftExport.write(adapter(), dtype, out));
    assertCopied(out.resolve("adapter_model.safetensors"), dtype);
    assertArrayEquals(
        Files.readAllBytes(adapter().resolve(AdapterConfigFile.NAME)),
        Files.readAllBytes(out.resolve(AdapterConfigFile.NAME)));
    try (Stream<Path> files = Files.list(temp)) {
      assertEquals(List.of(out), files.toList());
    }
  }

  @Test
  void aSingleFileHoldsTheConfigurationToo() throws IOException {
    Path out = temp.resolve("adapter.safetensors");
    PeftExport.write(adapter(), DType.BFLOAT16, out);
    assertCopied(out, DType.BFLOAT16);
    try (SafetensorsFile file = SafetensorsFile.open(out)) {
      assertEquals("pt", file.metadata().get("format"));
      assertEquals(
          Files.readString(adapter().resolve(AdapterConfigFile.NAME)),
          file.metadata().get(PeftExport.CONFIG_KEY));
    }
  }

  @Test
  void anExistingPlaceAndADamagedAdapterAreRefused() throws IOException {
    Path there = Files.createDirectory(temp.resolve("there"));
    InvalidInputException e =
        assertThrows(
            InvalidInputException.class, () -> PeftExport.write(adapter(), DType.FLOAT32, there));
    assertTrue(e.getMessage().contains("exists already, expected a new place"), e.getMessage());
    Path damaged = Files.createDirectory(temp.resolve("damaged"));
    Files.copy(adapter().resolve(AdapterConfigFile.NAME), damaged.resolve(AdapterConfigFile.NAME));
    byte[] bytes = Files.readAllBytes(adapter().resolve("adapter_model.safetensors"));
    Arrays.fill(bytes, bytes.length - 4, bytes.length, (byte) 0xff);
    Files.write(damaged.resolve("adapter_model.safetensors"), bytes);
    Path out = temp.resolve("out");
    e =
        assertThrows(
            InvalidInputException.class, () -> PeftExport.write(damaged, DType.FLOAT32, out));
    assertTrue(e.getMessage().contains("is not finite: not written"), e.getMessage());
    assertTrue(Files.notExists(out));
  }
}
