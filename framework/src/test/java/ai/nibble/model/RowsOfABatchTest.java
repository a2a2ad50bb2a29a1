package ai.nibble.model;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.Shared;
import ai.nibble.generate.Completion;
import ai.nibble.generate.GenerationSettings;
import ai.nibble.generate.Generator;
import ai.nibble.nn.KvCache;
import ai.nibble.nn.Pass;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Tensor;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashSet;
import java.util.List;
import java.util.Random;
import java.util.Set;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Rows of different lengths, whichever stand before and behind them, are computed as each by
 * itself: of the fixtures' models and of a tiny one of every architecture. Rows are longer than all
 * sliding windows among them, and than the length at which Phi 3's frequencies change.
 */
@Tag("golden")
class RowsOfABatchTest {
  private static final int[] LENGTHS = {41, 1, 60, 13, 2, 27};
  private static final int[] CHUNKS = {1, 3, 7, 25, 60};

  /** Products of other shapes sum in another order: some float32 roundings of 6e-8. */
  private static final double TOLERANCE = 1e-5;

  @TempDir Path temp;
  private long live;

  @BeforeEach
  void countTensors() {
    live = Tensor.live();
  }

  @AfterEach
  void everyTensorIsClosed() {
    assertEquals(live, Tensor.live());
  }

  /** Names of the models: those of the fixtures by their directories, then the tiny ones. */
  static Stream<String> models() throws IOException {
    try (Stream<Path> folders = Files.list(Shared.fixtures("models"))) {
      List<String> names = folders.filter(Files::isDirectory).map(Path::toString).sorted().toList();
      return Stream.concat(names.stream(), TinyModel.MODEL_TYPES.stream());
    }
  }

  private CausalLm load(String name) {
    Path folder = Path.of(name);
    if (!folder.isAbsolute() && !Files.isDirectory(folder)) {
      TinyModel tiny = TinyModel.of(name, 12).scaled(0.25f);
      tiny.fields.put("max_position_embeddings", "128");
      folder = temp;
      tiny.writeTo(folder);
    }
    return CausalLm.load(folder, LoadOptions.unquantized(DType.FLOAT32));
  }

  private static List<int[]> rows(CausalLm model) {
    Random random = new Random(9);
    int vocabulary = model.config().vocabSize();
    return Arrays.stream(LENGTHS).mapToObj(n -> random.ints(n, 0, vocabulary).toArray()).toList();
  }

  /** Logits of every position of rows that are computed together, row after row. */
  private static List<float[]> logits(CausalLm model, List<int[]> rows) {
    int[] starts = new int[rows.size() + 1];
    for (int r = 0; r < rows.size(); r++) {
      starts[r + 1] = starts[r] + rows.get(r).length;
    }
    int[] ids = rows.stream().flatMapToInt(Arrays::stream).toArray();
    int[] positions = new int[ids.length];
    Arrays.setAll(positions, i -> i);
    List<float[]> each = new ArrayList<>();
    try (Tensor all = model.logits(ids, Pass.evaluating(starts), positions)) {
      float[] values = all.toFloats();
      int width = model.config().vocabSize();
      for (int r = 0; r < rows.size(); r++) {
        each.add(Arrays.copyOfRange(values, starts[r] * width, starts[r + 1] * width));
      }
    }
    return each;
  }

  private static float[] alone(CausalLm model, int[] row) {
    return logits(model, List.of(row)).get(0);
  }

  private static void assertClose(float[] expected, float[] actual, String what) {
    double scale = 0;
    for (float e : expected) {
      scale = Math.max(scale, Math.abs(e));
    }
    assertTrue(scale > 0.1, what + ": logits of at most " + scale);
    assertArrayEquals(expected, actual, (float) (TOLERANCE * scale), what);
  }

  @ParameterizedTest
  @MethodSource("models")
  void haveTheLogitsTheyHaveAlone(String name) {
    try (CausalLm model = load(name)) {
      List<int[]> rows = rows(model);
      List<float[]> expected = rows.stream().map(row -> alone(model, row)).toList();
      List<Integer> order = new ArrayList<>(List.of(0, 1, 2, 3, 4, 5));
      // as they come, the other way round, by length: each stands once before and behind longer
      for (int turn = 0; turn < 3; turn++) {
        if (turn == 1) {
          Collections.reverse(order);
        } else if (turn == 2) {
          order.sort((a, b) -> LENGTHS[a] - LENGTHS[b]);
        }
        List<float[]> seen = logits(model, order.stream().map(rows::get).toList());
        for (int r = 0; r < order.size(); r++) {
          assertClose(expected.get(order.get(r)), seen.get(r), name + " row " + order.get(r));
        }
      }
    }
  }

  /** What a batch that is padded gives: on the left a row by itself, on the right more of a row. */
  @ParameterizedTest
  @MethodSource("models")
  void haveTheLogitsTheyHaveAloneBetweenPadding(String name) {
    try (CausalLm model = load(name)) {
      int[] padding = new int[20]; // tokens like any other, those of id 0
      for (int[] row : rows(model)) {
        // Phi 3's frequencies go by a row's own length: padding is no part of it
        boolean byLength = model.config().ropeScaling() instanceof RopeScaling.LongRope;
        int[] right = Arrays.copyOf(row, row.length + (byLength ? 0 : padding.length));
        float[] seen = logits(model, List.of(padding, right, padding)).get(1);
        float[] expected = alone(model, row);
        assertClose(expected, Arrays.copyOf(seen, expected.length), name + " " + row.length);
      }
    }
  }

  @ParameterizedTest
  @MethodSource("models")
  void haveTheLikelihoodsTheyHaveAlone(String name) {
    try (CausalLm model = load(name)) {
      List<int[]> rows = rows(model).stream().filter(row -> row.length > 1).toList();
      int[] starts = {0, 41, 101, 114, 116, 143};
      int[] ids = rows.stream().flatMapToInt(Arrays::stream).toArray();
      int[] positions = new int[ids.length - rows.size()];
      double[] expected = new double[positions.length];
      int n = 0;
      for (int r = 0; r < rows.size(); r++) {
        int[] row = rows.get(r);
        int[] within = new int[row.length - 1];
        Arrays.setAll(within, i -> i);
        int[] targets = Arrays.copyOfRange(row, 1, row.length);
        double[] own = model.logLikelihoods(row, Pass.evaluating(0, row.length), within, targets);
        for (int i = 0; i < own.length; i++, n++) {
          positions[n] = starts[r] + i;
          expected[n] = own[i];
        }
      }
      int[] targets = Arrays.stream(positions).map(p -> ids[p + 1]).toArray();
      double[] seen = model.logLikelihoods(ids, Pass.evaluating(starts), positions, targets);
      assertArrayEquals(expected, seen, 1e-4, name); // logits of up to some 10
    }
  }

  /** A cache is filled in parts of several sizes, rows of different lengths together. */
  @ParameterizedTest
  @MethodSource("models")
  void haveWithACacheTheLogitsOfTheWholeInPartsOfAnySize(String name) {
    try (CausalLm model = load(name)) {
      List<int[]> rows = rows(model);
      List<float[]> whole = rows.stream().map(row -> alone(model, row)).toList();
      for (int chunk : CHUNKS) {
        List<KvCache> caches = new ArrayList<>();
        try (Decoder decoder = new Decoder(model, Long.MAX_VALUE)) {
          rows.forEach(row -> caches.add(decoder.cache(row.length)));
          for (int begin = 0; begin < 60; begin += chunk) {
            assertNext(model, decoder, rows, whole, caches, chunk, name + " in " + chunk);
          }
        } finally {
          caches.forEach(KvCache::close);
        }
      }
    }
  }

  /** The next tokens of those rows that are not at their end. */
  private static void assertNext(
      CausalLm model,
      Decoder decoder,
      List<int[]> rows,
      List<float[]> whole,
      List<KvCache> caches,
      int chunk,
      String what) {
    List<Integer> open = new ArrayList<>();
    List<int[]> due = new ArrayList<>();
    for (int r = 0; r < rows.size(); r++) {
      int begin = caches.get(r).length();
      int end = Math.min(rows.get(r).length, begin + chunk);
      if (begin < end) {
        open.add(r);
        due.add(Arrays.copyOfRange(rows.get(r), begin, end));
      }
    }
    int width = model.config().vocabSize();
    try (Tensor logits = decoder.next(due, open.stream().map(caches::get).toList())) {
      float[] values = logits.toFloats();
      for (int i = 0; i < open.size(); i++) {
        int r = open.get(i);
        int length = caches.get(r).length();
        // Phi 3's frequencies go by the length so far: nothing of a longer row is known yet
        boolean byLength = model.config().ropeScaling() instanceof RopeScaling.LongRope;
        float[] all = byLength ? alone(model, Arrays.copyOf(rows.get(r), length)) : whole.get(r);
        assertClose(
            Arrays.copyOfRange(all, (length - 1) * width, length * width),
            Arrays.copyOfRange(values, i * width, (i + 1) * width),
            what + ", row " + r + " at " + length);
      }
    }
  }

  @ParameterizedTest
  @MethodSource("models")
  void areAnsweredAsAlone(String name) {
    try (CausalLm model = load(name);
        Generator generator = new Generator(model)) {
      GenerationSettings settings = GenerationSettings.greedy(20, Set.of());
      List<int[]> rows = rows(model);
      List<Completion> together = generator.complete(rows, settings);
      for (int r = 0; r < rows.size(); r++) {
        Completion alone = generator.complete(List.of(rows.get(r)), settings).get(0);
        assertArrayEquals(alone.tokens(), together.get(r).tokens(), name + " row " + r);
      }
    }
  }

  @Test
  void everyArchitectureAndEveryFixtureIsAmongThem() throws IOException {
    Set<String> names = new HashSet<>(models().map(n -> Path.of(n).getFileName() + "").toList());
    assertTrue(names.containsAll(TinyModel.MODEL_TYPES), names.toString());
    if (Shared.fixturesAreShipped()) {
      assertTrue(names.containsAll(Set.of("llama_yarn", "gemma2", "gemma3", "phi3")), names + "");
      assertEquals(11 + TinyModel.MODEL_TYPES.size(), models().count());
    }
  }
}
