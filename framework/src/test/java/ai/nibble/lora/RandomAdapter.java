package ai.nibble.lora;

import ai.nibble.model.CausalLm;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.FloatBuffer;
import java.nio.file.Path;
import java.util.Random;

/** An adapter that changes what a model computes: both of its matrices are drawn. */
public final class RandomAdapter {
  private RandomAdapter() {}

  public static LoraAdapter on(CausalLm model, int rank, long seed) {
    LoraAdapter adapter =
        LoraAdapter.inject(model, LoraConfig.DEFAULT.withRank(rank, 2 * rank), seed);
    FloatBuffer values = adapter.parameters().values().floats();
    Random random = new Random(seed);
    for (int i = 0; i < values.limit(); i++) {
      values.put(i, (float) (random.nextGaussian() * 0.3));
    }
    return adapter;
  }

  /** Writes one for a model, which is left without. */
  public static Path save(CausalLm model, int rank, long seed, Path directory) {
    try (LoraAdapter adapter = on(model, rank, seed)) {
      AdapterStore.save(adapter, directory, "base", true);
      return directory;
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }
}
