package ai.nibble;

import java.util.List;

/** Arrays that came one after the other, as one. */
public final class JoinedFloats {
  private JoinedFloats() {}

  /** All values, in their order. */
  public static float[] of(List<float[]> parts) {
    float[] all = new float[parts.stream().mapToInt(part -> part.length).sum()];
    int at = 0;
    for (float[] part : parts) {
      System.arraycopy(part, 0, all, at, part.length);
      at += part.length;
    }
    return all;
  }
}
