package ai.nibble.nn;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import ai.nibble.autograd.Tape;
import ai.nibble.autograd.Variable;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Tensor;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Attention of a sequence that comes in parts is that of the whole. */
class ChunkAttentionTest extends FunctionTestCase {
  private static final int HEADS = 4;
  private static final int KV_HEADS = 2;
  private static final int D = 8;
  private static final int TOKENS = 70;

  private static Attention attention(int window, double cap) {
    float[] frequencies = {1, 0.3f, 0.1f, 0.03f};
    RotaryTable rotary = new RotaryTable(frequencies, 1);
    return new Attention(HEADS, KV_HEADS, rotary, 1 / Math.sqrt(D), window, cap);
  }

  private Tensor whole(Attention attention, Tensor qkv, Precision precision) {
    try (Tape tape = Tape.inference();
        Variable in = tape.constant(qkv.share());
        Variable out = attention.apply(tape, in, Pass.evaluating(0, TOKENS), precision)) {
      return scope.own(out.value().share());
    }
  }

  private Tensor rows(Tensor qkv, int begin, int end) {
    return scope.own(qkv.narrow(0, begin, end - begin));
  }

  @ParameterizedTest
  @CsvSource({
    "FLOAT32, 1, 0, 0",
    "FLOAT32, 16777216, 0, 0",
    "BFLOAT16, 1, 0, 0",
    "BFLOAT16, 16777216, 0, 0",
    "FLOAT32, 1, 7, 0",
    "BFLOAT16, 16777216, 50, 0",
    "FLOAT32, 1, 7, 0.9",
    "BFLOAT16, 16777216, 0, 0.9"
  })
  void partsOfAnyLengthGiveTheWhole(DType dtype, long maxScoreBytes, int window, double cap) {
    Attention attention = attention(window, cap);
    Precision precision = Precision.of(dtype);
    Tensor qkv = scope.own(input(3, TOKENS, (HEADS + 2L * KV_HEADS) * D).to(precision.compute()));
    float[] expected = whole(attention, qkv, precision).toFloats();
    KvCache cache = scope.own(new KvCache(1, KV_HEADS, D, TOKENS + 3, precision));
    int width = HEADS * D;
    int begin = 0;
    // one byte of scores gives blocks of 16 tokens: three in the longest part
    for (int tokens : new int[] {5, 1, 45, 2, 17}) {
      Pass pass = Pass.cached(List.of(cache), 0, tokens);
      float[] actual;
      try (Tape tape = Tape.inference();
          Variable in = tape.constant(rows(qkv, begin, begin + tokens).share());
          Variable out =
              tape.apply(
                  new ChunkAttention(attention, pass, 0, precision, work, maxScoreBytes), in)) {
        actual = out.value().toFloats();
      }
      cache.advance(tokens);
      float[] part =
          java.util.Arrays.copyOfRange(expected, begin * width, (begin + tokens) * width);
      assertArrayEquals(part, actual, (float) tolerance(dtype), "from token " + begin);
      begin += tokens;
    }
  }

  @Test
  void whatIsForgottenHasNoPartInWhatFollows() {
    Precision precision = Precision.of(DType.FLOAT32);
    Tensor qkv = input(4, TOKENS, (HEADS + 2L * KV_HEADS) * D);
    KvCache cache = scope.own(new KvCache(1, KV_HEADS, D, TOKENS, precision));
    float[] first = attend(cache, rows(qkv, 0, 30), 10, precision);
    cache.truncate(10);
    KvCache other = scope.own(new KvCache(1, KV_HEADS, D, 40, precision));
    other.copyFrom(cache, 10);
    float[] again = attend(cache, rows(qkv, 0, 30), 10, precision);
    assertArrayEquals(first, again);
    assertArrayEquals(first, attend(other, rows(qkv, 0, 30), 10, precision));
    assertThrows(IllegalArgumentException.class, () -> cache.truncate(31));
    assertThrows(IllegalArgumentException.class, () -> other.copyFrom(cache, 31));
    KvCache small = scope.own(new KvCache(1, KV_HEADS, D, 5, precision));
    assertThrows(IllegalArgumentException.class, () -> small.copyFrom(cache, 6));
  }

  /** What the tokens from {@code from} on give, after those before where the cache is empty. */
  private float[] attend(KvCache cache, Tensor qkv, int from, Precision precision) {
    Attention attention = attention(Attention.NO_WINDOW, Attention.NO_CAP);
    if (cache.length() == 0) {
      step(attention, cache, rows(qkv, 0, from), precision);
    }
    return step(attention, cache, rows(qkv, from, (int) qkv.size(0)), precision);
  }

  private float[] step(Attention attention, KvCache cache, Tensor qkv, Precision precision) {
    int tokens = (int) qkv.size(0);
    try (Tape tape = Tape.inference();
        Variable in = tape.constant(qkv.share());
        Variable out =
            attention.applyCached(
                tape, in, Pass.cached(List.of(cache), 0, tokens), 0, precision, work)) {
      float[] values = out.value().toFloats();
      cache.advance(tokens);
      return values;
    }
  }
}
