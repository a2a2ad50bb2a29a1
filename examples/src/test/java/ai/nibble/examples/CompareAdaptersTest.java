package ai.nibble.examples;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;

import ai.nibble.tensor.Tensor;
import ai.nibble.train.objective.SupervisedFineTuning;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class CompareAdaptersTest {
  @TempDir Path temp;

  @Test
  void theBaseAndEachAdapterAnswer() throws Exception {
    Path base = TinyBase.write(temp);
    Path adapter = temp.resolve("adapter");
    CustomLoop.train(base, TinyBase.rows(temp), new SupervisedFineTuning(), 20, adapter);
    long live = Tensor.live();
    List<String> pieces = new ArrayList<>();
    CompareAdapters.ask(base, Map.of("mine", adapter), "hello", pieces::add);
    assertEquals(live, Tensor.live());
    int second = pieces.indexOf("mine:");
    assertEquals("base:", pieces.get(0));
    String before = String.join("", pieces.subList(1, second));
    String after = String.join("", pieces.subList(second + 1, pieces.size()));
    assertNotEquals(before, after);
  }
}
