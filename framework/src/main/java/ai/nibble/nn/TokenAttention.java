package ai.nibble.nn;

import ai.nibble.nn.vector.Dense512;
import ai.nibble.tensor.Bfloat16;
import ai.nibble.tensor.DType;
import java.nio.ByteBuffer;
import java.util.Arrays;

/**
 * One token of one sequence attends to what the cache holds and to itself, head by head: {@link
 * CachedAttention} by kernels in Java, rounded where that rounds.
 */
final class TokenAttention {
  /** Rows of keys or values brought onto the heap at a time. */
  private static final int ROWS = 64;

  private final Attention attention;
  private final DType dtype;
  private final int width;
  private final TokenRow queries;

  /** Whether heads are such that kernels take them. */
  static boolean takes(Attention attention) {
    return attention.headDim() % Dense512.UNIT == 0
        && !attention.isCapped()
        && !attention.rotary().switches();
  }

  /**
   * @param dtype of the cache, the products and the results
   */
  TokenAttention(Attention attention, DType dtype) {
    this.attention = attention;
    this.dtype = dtype;
    this.width = attention.headDim();
    this.queries = new TokenRow(attention.heads() * width);
  }

  /**
   * Rotates queries and keys; keys and values go into the cache.
   *
   * @param qkv {@code [(heads + 2·keyValueHeads)·headDim]}, overwritten
   */
  void begin(KvCache cache, int layer, float[] qkv) {
    int all = attention.heads() * width;
    int firstValue = all + attention.keyValueHeads() * width;
    for (int at = 0; at < firstValue; at += width) {
      attention.rotary().rotate(qkv, at, cache.length(), false, 1);
    }
    dtype.round(qkv, 0, firstValue);
    System.arraycopy(qkv, 0, queries.values(), 0, all);
    queries.ready();
    put(cache, cache.keyBytes(layer), qkv, all);
    put(cache, cache.valueBytes(layer), qkv, firstValue);
  }

  private void put(KvCache cache, ByteBuffer memory, float[] heads, int at) {
    for (int h = 0; h < attention.keyValueHeads(); h++) {
      int slot = (h * cache.capacity() + cache.length()) * width;
      for (int i = 0; i < width; i++) {
        float value = heads[at + h * width + i];
        if (dtype == DType.BFLOAT16) {
          memory.putShort((slot + i) * Short.BYTES, Bfloat16.of(value));
        } else {
          memory.putFloat((slot + i) * Float.BYTES, value);
        }
      }
    }
  }

  /**
   * One query head, on the calling thread; after {@link #begin}.
   *
   * @param output {@code [heads·headDim]}, of which the head's part is written
   */
  void attend(KvCache cache, int layer, int head, float[] output) {
    int first = attention.firstSeen(cache.length() + 1);
    int tokens = cache.length() + 1 - first;
    float[] scores = new float[(tokens + Dense512.LANES - 1) / Dense512.LANES * Dense512.LANES];
    byte[] rows = new byte[Math.min(ROWS, tokens) * width * dtype.bytes()];
    int from = head / attention.group() * cache.capacity() + first;
    score(cache.keyBytes(layer), from, tokens, rows, head, scores);
    Dense512.softmax(scores, scores.length);
    dtype.round(scores, 0, tokens);
    float[] sum = new float[width];
    ByteBuffer values = cache.valueBytes(layer);
    for (int t = 0; t < tokens; t += ROWS) {
      int n = load(values, from + t, Math.min(ROWS, tokens - t), rows);
      if (dtype == DType.BFLOAT16) {
        Dense512.addBfloat16(scores, t, n, rows, width, sum);
      } else {
        Dense512.addFloat32(scores, t, n, rows, width, sum);
      }
    }
    int at = head * width;
    if (dtype == DType.BFLOAT16) {
      TokenRow.join(sum, output, at);
    } else {
      System.arraycopy(sum, 0, output, at, width);
    }
    dtype.round(output, at, at + width);
  }

  /** Scaled scores of a head, then −∞. */
  private void score(ByteBuffer keys, int from, int tokens, byte[] rows, int head, float[] scores) {
    float[] query = queries.against(dtype);
    float scale = (float) attention.scale();
    int rowBytes = width * dtype.bytes();
    for (int t = 0; t < tokens; t += ROWS) {
      int n = load(keys, from + t, Math.min(ROWS, tokens - t), rows);
      for (int r = 0; r < n; r++) {
        float product = DenseRows.dot(dtype, rows, r * rowBytes, query, head * width, width);
        scores[t + r] = scale * product;
      }
    }
    dtype.round(scores, 0, tokens);
    Arrays.fill(scores, tokens, scores.length, Float.NEGATIVE_INFINITY);
  }

  private int load(ByteBuffer memory, int row, int count, byte[] rows) {
    int rowBytes = width * dtype.bytes();
    memory.get(row * rowBytes, rows, 0, count * rowBytes);
    return count;
  }
}
