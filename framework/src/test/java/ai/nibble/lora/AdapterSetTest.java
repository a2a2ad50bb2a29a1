package ai.nibble.lora;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.InvalidInputException;
import ai.nibble.model.CausalLm;
import ai.nibble.model.LoadOptions;
import ai.nibble.model.TinyModel;
import ai.nibble.nn.Pass;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Tensor;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Several adapters on one base compute what each does alone. */
class AdapterSetTest {
  private static final int[] IDS = {1, 5, 2, 9, 3};

  @TempDir Path folder;
  private CausalLm model;
  private long liveBefore;

  @BeforeEach
  void load() {
    liveBefore = Tensor.live();
    TinyModel tiny = new TinyModel(5, false);
    tiny.writeConfig(folder);
    tiny.writeSafetensors(folder.resolve("model.safetensors"));
    model = CausalLm.load(folder, LoadOptions.unquantized(DType.FLOAT32));
    RandomAdapter.save(model, 2, 1, folder.resolve("a"));
    RandomAdapter.save(model, 4, 2, folder.resolve("b"));
  }

  @AfterEach
  void everyTensorIsClosed() {
    model.close();
    assertEquals(liveBefore, Tensor.live());
  }

  private float[] logits() {
    try (Tensor logits = model.logits(IDS, Pass.evaluating(0, IDS.length), new int[] {4})) {
      return logits.toFloats();
    }
  }

  private float[] alone(String name) {
    try (LoraAdapter adapter = AdapterStore.load(model, folder.resolve(name))) {
      assertFalse(adapter.modules().isEmpty());
      return logits();
    }
  }

  @Test
  void theOneThatIsOnComputesWhatItDoesAlone() {
    float[] base = logits();
    float[] a = alone("a");
    float[] b = alone("b");
    assertFalse(Arrays.equals(a, b) || Arrays.equals(a, base) || Arrays.equals(b, base));
    try (AdapterSet set = new AdapterSet(model)) {
      set.load("a", folder.resolve("a"));
      assertArrayEquals(base, logits(), "loading leaves it off");
      set.select("a");
      set.load("b", folder.resolve("b"));
      assertArrayEquals(a, logits(), "loading leaves the other on");
      set.select("b");
      assertArrayEquals(b, logits());
      set.select("a");
      assertArrayEquals(a, logits());
      set.select(AdapterSet.OFF);
      assertArrayEquals(base, logits());
      set.select("b");
      assertEquals("b", set.active());
      assertEquals(List.of("a", "b"), set.names());
    }
    assertArrayEquals(base, logits(), "closing takes it off");
  }

  @Test
  void closingAnAdapterLeavesWhatAnotherPutInItsPlace() {
    LoraAdapter first = RandomAdapter.on(model, 2, 1);
    try (LoraAdapter second = RandomAdapter.on(model, 4, 2)) {
      float[] on = logits();
      first.close();
      assertArrayEquals(on, logits());
      assertFalse(second.modules().isEmpty());
    }
  }

  @Test
  void anUnknownNameIsRefusedWithThoseThereAreAndChangesNothing() {
    try (AdapterSet set = new AdapterSet(model)) {
      set.load("poet", folder.resolve("a"));
      set.select("poet");
      InvalidInputException e =
          assertThrows(InvalidInputException.class, () -> set.select("poets"));
      assertEquals(
          "no adapter 'poets', expected one of [poet, off] (did you mean 'poet'?)", e.getMessage());
      assertEquals("poet", set.active());
      assertThrows(InvalidInputException.class, () -> set.load("poet", folder.resolve("b")));
      assertThrows(InvalidInputException.class, () -> set.load("off", folder.resolve("b")));
    }
  }

  @Test
  void oneThatDoesNotLoadLeavesTheOtherOn() throws IOException {
    Path broken = Files.createDirectories(folder.resolve("broken"));
    Files.copy(folder.resolve("b/adapter_config.json"), broken.resolve("adapter_config.json"));
    Files.copy(
        folder.resolve("a/adapter_model.safetensors"), broken.resolve("adapter_model.safetensors"));
    try (AdapterSet set = new AdapterSet(model)) {
      set.load("a", folder.resolve("a"));
      set.select("a");
      float[] on = logits();
      InvalidInputException e =
          assertThrows(InvalidInputException.class, () -> set.load("broken", broken));
      assertTrue(e.getMessage().contains("has the shape"), e.getMessage());
      assertArrayEquals(on, logits());
    }
  }
}
