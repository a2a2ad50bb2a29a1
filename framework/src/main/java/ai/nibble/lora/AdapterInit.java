package ai.nibble.lora;

import java.nio.FloatBuffer;
import java.util.SplittableRandom;

/**
 * First values of the A matrices. Each module draws from its own generator, seeded by the run's
 * seed and the module's path, so adding or removing a target leaves the others as they were.
 */
final class AdapterInit {
  private final InitLoraWeights how;
  private final long seed;

  AdapterInit(InitLoraWeights how, long seed) {
    this.how = how;
    this.seed = seed;
  }

  /**
   * Fills A of a module, row-major {@code [r, in]}.
   *
   * <p>Kaiming-uniform with a = √5 is uniform on ±1/√in; gaussian has standard deviation 1/r.
   */
  void fill(String path, FloatBuffer a, long r, long in) {
    SplittableRandom random = new SplittableRandom(seed * 0x9E3779B97F4A7C15L + hash(path));
    double bound = 1 / Math.sqrt(in);
    for (int i = 0; i < r * in; i++) {
      double value =
          switch (how) {
            case KAIMING -> (2 * random.nextDouble() - 1) * bound;
            case GAUSSIAN -> gaussian(random) / r;
          };
      a.put(i, (float) value);
    }
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
