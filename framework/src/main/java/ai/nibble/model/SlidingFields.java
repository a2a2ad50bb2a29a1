package ai.nibble.model;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.OptionalInt;
import java.util.function.IntPredicate;

/**
 * The fields {@code use_sliding_window}, {@code sliding_window} and {@code layer_types} of the
 * families that choose layer by layer whose attention slides.
 */
final class SlidingFields {
  private static final String LAYER_TYPES = "layer_types";
  private static final String FULL = "full_attention";
  private static final String SLIDING = "sliding_attention";

  private SlidingFields() {}

  /**
   * The window of each layer, empty where it sees everything.
   *
   * @param defaultWindow where the file names no window
   * @param slides which layers slide where there is a window and the file names no types
   */
  static List<OptionalInt> windows(
      ConfigFields f, int layers, OptionalInt defaultWindow, IntPredicate slides) {
    boolean used = f.flag("use_sliding_window", false);
    String why = "'use_sliding_window' is " + used + " and ";
    return windows(f, layers, used, why, defaultWindow, slides);
  }

  /** The same of a family whose layers slide wherever there is a window. */
  static List<OptionalInt> windowsAlways(
      ConfigFields f, int layers, OptionalInt defaultWindow, IntPredicate slides) {
    return windows(f, layers, true, "", defaultWindow, slides);
  }

  private static List<OptionalInt> windows(
      ConfigFields f,
      int layers,
      boolean used,
      String why,
      OptionalInt defaultWindow,
      IntPredicate slides) {
    OptionalInt window =
        f.has("sliding_window") ? f.integerOrNull("sliding_window") : defaultWindow;
    boolean named = f.hasValue(LAYER_TYPES);
    List<String> types = f.strings(LAYER_TYPES);
    if (!named) {
      List<OptionalInt> windows = new ArrayList<>();
      for (int i = 0; i < layers; i++) {
        windows.add(used && slides.test(i) ? window : OptionalInt.empty());
      }
      return windows;
    }
    boolean known = types.stream().allMatch(type -> type.equals(FULL) || type.equals(SLIDING));
    if (types.size() != layers || !known) {
      f.wrong(
          LAYER_TYPES,
          "for each of the " + layers + " layers one of '" + FULL + "' and '" + SLIDING + "'");
    } else if (types.contains(SLIDING) && (!used || window.isEmpty())) {
      f.wrong(
          LAYER_TYPES,
          "'"
              + FULL
              + "' alone, as "
              + why
              + "'sliding_window' is "
              + (window.isEmpty() ? "none" : window.getAsInt()));
    } else {
      return types.stream()
          .map(type -> type.equals(SLIDING) ? window : OptionalInt.empty())
          .toList();
    }
    return Collections.nCopies(layers, OptionalInt.empty());
  }
}
