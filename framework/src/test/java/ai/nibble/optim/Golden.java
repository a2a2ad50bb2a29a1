package ai.nibble.optim;

import static org.junit.jupiter.api.Assertions.assertEquals;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.FloatBuffer;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.stream.StreamSupport;

/** Values computed by torch and transformers; golden.py beside golden.json wrote them. */
final class Golden {
  private Golden() {}

  static JsonNode read(String part) {
    return read("golden.json", part);
  }

  static JsonNode read(String file, String part) {
    try (InputStream in = Golden.class.getResourceAsStream(file)) {
      return new ObjectMapper().readTree(in).get(part);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** golden.py's {@code values}: multiples of 2^-23, the same in both languages. */
  static float[] values(long seed, int n, double scale) {
    float[] values = new float[n];
    long s = seed;
    for (int i = 0; i < n; i++) {
      s = s * 6364136223846793005L + 1442695040888963407L;
      values[i] = (float) (((s >>> 40) - (1 << 23)) / 8388608.0 * scale);
    }
    return values;
  }

  /** Makes an optimizer for one tensor by a case's constants. */
  interface Maker {
    HostOptimizer make(JsonNode kase, List<ParameterSlot> slots);
  }

  /**
   * Fails unless an optimizer moves values as the reference did.
   *
   * @param tolerance of a value after a step, a multiple of the learning rate
   * @return cases compared
   */
  static int assertFollows(String file, String name, Maker maker, double tolerance) {
    int compared = 0;
    for (JsonNode kase : read(file, "others")) {
      if (!kase.get("name").textValue().equals(name)) {
        continue;
      }
      long[] shape = shape(kase);
      int n = (int) Arrays.stream(shape).reduce(1, (a, b) -> a * b);
      double lr = kase.get("lr").doubleValue();
      long seed = kase.get("seed").longValue();
      FloatBuffer params = FloatBuffer.wrap(values(seed, n, 1));
      ParameterRange range = new ParameterRange(0, n, 1, kase.get("weight_decay").doubleValue());
      HostOptimizer optimizer = maker.make(kase, List.of(new ParameterSlot("p", 0, shape, range)));
      for (int step = 1; step <= kase.get("after").size(); step++) {
        optimizer.step(params, FloatBuffer.wrap(gradients(seed + step, n, kase)), lr);
        ByteBuffer after =
            ByteBuffer.wrap(HexFormat.of().parseHex(kase.get("after").get(step - 1).textValue()));
        int stride = kase.get("stride").intValue();
        for (int i = 0; i < n; i += stride) {
          assertEquals(
              after.getFloat(i / stride * Float.BYTES),
              params.get(i),
              tolerance * lr,
              name + " of " + Arrays.toString(shape) + ", step " + step + ", value " + i);
        }
      }
      compared++;
    }
    return compared;
  }

  private static long[] shape(JsonNode kase) {
    return StreamSupport.stream(kase.get("shape").spliterator(), false)
        .mapToLong(JsonNode::longValue)
        .toArray();
  }

  /** golden.py's gradients of {@code course}: cubes, each operation rounded to float32. */
  private static float[] gradients(long seed, int n, JsonNode kase) {
    float[] values = values(seed, n, kase.get("scale").doubleValue());
    for (int i = 0; i < n; i++) {
      values[i] = values[i] * values[i] * values[i];
    }
    return values;
  }

  static String hex(float[] values, int n) {
    StringBuilder text = new StringBuilder();
    for (int i = 0; i < n; i++) {
      text.append(HexFormat.of().toHexDigits(Float.floatToRawIntBits(values[i])));
    }
    return text.toString();
  }
}
