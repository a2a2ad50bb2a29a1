package ai.nibble.optim;

import static org.junit.jupiter.api.Assertions.assertEquals;

import ai.nibble.nn.ParameterSet;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

/** Without kernels there is nothing to page. */
class PagedOnCpuTest {
  @Test
  void onACpuItIsTheOptimizerWithoutPages() {
    try (ParameterSet parameters = new ParameterSet(Map.of("a", new long[] {70, 70}))) {
      List<ParameterRange> ranges = ParameterRange.decayingMatrices(parameters, 0);
      AdamWConfig adamW = AdamWConfig.DEFAULT;
      assertEquals(AdamW.class, new PagedConfig(adamW).over(parameters, ranges).getClass());
      OptimizerConfig eight = new PagedConfig(new AdamW8bitConfig(adamW));
      assertEquals(AdamW8bit.class, eight.over(parameters, ranges).getClass());
    }
  }
}
