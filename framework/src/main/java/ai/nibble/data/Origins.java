package ai.nibble.data;

import ai.nibble.data.jinja.Rendering;
import java.util.Arrays;
import java.util.List;

/** Who wrote each character of a rendered text. */
final class Origins {
  private final List<Rendering.Run> runs;
  private final int[] begins;

  Origins(Rendering rendering) {
    this.runs = rendering.runs();
    this.begins = runs.stream().mapToInt(Rendering.Run::begin).toArray();
  }

  /** Whether the template wrote all of {@code [begin, end)}. */
  boolean isTemplate(int begin, int end) {
    int found = Arrays.binarySearch(begins, begin);
    Rendering.Run run = runs.get(found >= 0 ? found : -found - 2);
    // Neighbouring runs differ, so a stretch of one origin lies within one run.
    return run.origin() == 0 && end <= run.end();
  }
}
