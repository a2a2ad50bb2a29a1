package ai.nibble.lora;

import ai.nibble.InvalidInputException;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Ops;
import ai.nibble.tensor.Scope;
import ai.nibble.tensor.Tensor;
import java.util.SplittableRandom;
import java.util.function.Supplier;

/**
 * First values of the matrices. Each module draws from its own generator, seeded by the run's seed
 * and the module's path, so adding or removing a target leaves the others as they were.
 */
final class AdapterInit {
  private final InitLoraWeights how;
  private final long seed;

  AdapterInit(InitLoraWeights how, long seed) {
    this.how = how;
    this.seed = seed;
  }

  /**
   * A module's matrices.
   *
   * @param a {@code [r, in]}, row-major
   * @param b {@code [out, r]}, row-major
   */
  record Matrices(float[] a, float[] b) {}

  /**
   * Where a module's matrices lie.
   *
   * @param path of the module
   * @param scaling factor of B·A
   */
  record Place(String path, int out, int in, int r, double scaling) {}

  /**
   * First values of a module.
   *
   * @param decomposed gives the float32 matrix {@code [out, in]} whose parts B·A shall be: the
   *     weight, or with LoftQ what it lost; asked for where it is needed, closed here
   */
  Matrices of(Place place, Supplier<Tensor> decomposed) {
    if (AdapterNames.isEmbedding(place.path)) {
      return ofEmbedding(place);
    }
    return switch (how.kind()) {
      case KAIMING, GAUSSIAN -> drawn(place);
      case ORTHOGONAL -> orthogonal(place);
      case PISSA, LOFTQ -> {
        try (Tensor matrix = decomposed.get()) {
          TruncatedSvd svd =
              how.iterations() == 0
                  ? TruncatedSvd.exact(matrix, place.r)
                  : TruncatedSvd.randomized(matrix, place.r, how.iterations());
          yield scaled(place, svd.a(), svd.b());
        }
      }
      case OLORA -> {
        try (Tensor matrix = decomposed.get()) {
          yield firstRows(place, matrix);
        }
      }
    };
  }

  private SplittableRandom random(String path) {
    return new SplittableRandom(seed * 0x9E3779B97F4A7C15L + hash(path));
  }

  /** A zeros and B normals, whatever linears begin with, as in PEFT. */
  private Matrices ofEmbedding(Place place) {
    int zeros = Math.multiplyExact(place.r, place.in);
    int drawn = Math.multiplyExact(place.out, place.r);
    return new Matrices(new float[zeros], gaussians(random(place.path), drawn, 1));
  }

  private Matrices drawn(Place place) {
    SplittableRandom random = random(place.path);
    float[] a = new float[Math.multiplyExact(place.r, place.in)];
    double bound = 1 / Math.sqrt(place.in);
    for (int i = 0; i < a.length; i++) {
      a[i] =
          (float)
              (how.kind() == InitLoraWeights.Kind.KAIMING
                  ? (2 * random.nextDouble() - 1) * bound
                  : gaussian(random) / place.r);
    }
    return new Matrices(a, new float[Math.multiplyExact(place.out, place.r)]);
  }

  /**
   * With Q orthogonal {@code [r, r]}: A is a tenth of normals times Q's even rows, B of normals
   * times the odd ones, as in PEFT; B·A is zero but for rounding.
   */
  private Matrices orthogonal(Place place) {
    if (place.r % 2 != 0) {
      throw new InvalidInputException(
          "init_lora_weights: 'orthogonal' needs an even rank, but that of '"
              + place.path
              + "' is "
              + place.r
              + ": change lora_r or rank_pattern");
    }
    SplittableRandom random = random(place.path);
    int half = place.r / 2;
    try (Tensor drawn = Tensor.of(gaussians(random, place.r * place.r, 1), place.r, place.r);
        Ops.Qr qr = Ops.qr(drawn)) {
      float[] q = qr.q().toFloats();
      float[] left = gaussians(random, place.in * half, 0.1);
      float[] right = gaussians(random, place.out * half, 0.1);
      float[] a = new float[place.r * place.in];
      float[] b = new float[place.out * place.r];
      for (int k = 0; k < place.r; k++) {
        for (int h = 0; h < half; h++) {
          float even = q[2 * h * place.r + k];
          float odd = q[(2 * h + 1) * place.r + k];
          for (int i = 0; i < place.in; i++) {
            a[k * place.in + i] += left[i * half + h] * even;
          }
          for (int o = 0; o < place.out; o++) {
            b[o * place.r + k] += right[o * half + h] * odd;
          }
        }
      }
      return new Matrices(a, b);
    }
  }

  /** B·A without its scaling, so that with it the product is what was decomposed. */
  private static Matrices scaled(Place place, float[] a, float[] b) {
    if (!(place.scaling > 0)) {
      throw new InvalidInputException(
          "lora_alpha makes a scaling of "
              + place.scaling
              + " for '"
              + place.path
              + "', expected more than 0 to begin with parts of a weight");
    }
    float share = (float) (1 / Math.sqrt(place.scaling));
    for (int i = 0; i < a.length; i++) {
      a[i] *= share;
    }
    for (int i = 0; i < b.length; i++) {
      b[i] *= share;
    }
    return new Matrices(a, b);
  }

  /** The first columns of Q and rows of R, not divided by the scaling, as in PEFT. */
  private static Matrices firstRows(Place place, Tensor matrix) {
    try (Scope scope = new Scope()) {
      Ops.Qr qr = scope.own(Ops.qr(matrix));
      Tensor rows = scope.own(qr.r().narrow(0, 0, place.r));
      Tensor columns = scope.own(qr.q().narrow(1, 0, place.r));
      Tensor a = scope.empty(DType.FLOAT32, place.r, place.in).copyFrom(rows);
      Tensor b = scope.empty(DType.FLOAT32, place.out, place.r).copyFrom(columns);
      return new Matrices(a.toFloats(), b.toFloats());
    }
  }

  private static float[] gaussians(SplittableRandom random, int n, double scale) {
    float[] values = new float[n];
    for (int i = 0; i < n; i++) {
      values[i] = (float) (scale * gaussian(random));
    }
    return values;
  }

  /** Box and Muller 1958, by StrictMath: the same bits everywhere. */
  private static double gaussian(SplittableRandom random) {
    double radius = StrictMath.sqrt(-2 * StrictMath.log(1 - random.nextDouble()));
    return radius * StrictMath.cos(2 * Math.PI * random.nextDouble());
  }

  /** FNV-1a over the path's characters, 64 bits. */
  private static long hash(String path) {
    long h = 0xcbf29ce484222325L;
    for (int i = 0; i < path.length(); i++) {
      h = (h ^ path.charAt(i)) * 0x100000001b3L;
    }
    return h;
  }
}
