package ai.nibble.optim;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.util.HexFormat;

/** Values computed by torch and transformers; golden.py beside golden.json wrote them. */
final class Golden {
  private Golden() {}

  static JsonNode read(String part) {
    try (InputStream in = Golden.class.getResourceAsStream("golden.json")) {
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

  static String hex(float[] values, int n) {
    StringBuilder text = new StringBuilder();
    for (int i = 0; i < n; i++) {
      text.append(HexFormat.of().toHexDigits(Float.floatToRawIntBits(values[i])));
    }
    return text.toString();
  }
}
