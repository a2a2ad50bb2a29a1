package ai.nibble.model;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.InvalidInputException;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Tensor;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class LoadingFailureTest {
  @TempDir Path folder;

  @Test
  void aWeightThatIsNotFiniteIsNamedAndNothingStaysOpenWhicheverItIs() {
    List<LoadOptions> options =
        List.of(
            LoadOptions.unquantized(DType.FLOAT32),
            LoadOptions.nf4(),
            LoadOptions.unquantized(DType.BFLOAT16));
    for (String name : new ArrayList<>(new TinyModel(1, true).values.keySet())) {
      TinyModel tiny = new TinyModel(1, true);
      tiny.values.get(name)[3] = Float.NaN;
      tiny.writeTo(folder);
      for (LoadOptions each : options) {
        long live = Tensor.live();
        InvalidInputException e =
            assertThrows(InvalidInputException.class, () -> CausalLm.load(folder, each), name);
        assertTrue(e.getMessage().contains("'" + name + "'"), e.getMessage());
        assertEquals(live, Tensor.live(), name);
      }
    }
  }
}
