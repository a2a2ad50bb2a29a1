package ai.nibble.generate;

import ai.nibble.lora.*;
import ai.nibble.model.*;
import ai.nibble.tensor.*;
import java.nio.file.Path;
import java.util.*;

public class DecodeProbe {
  public static void main(String[] a) {
    Path p = Path.of(a[0]);
    for (DType d : List.of(DType.FLOAT32, DType.BFLOAT16)) {
      try (CausalLm m = CausalLm.load(p, new LoadOptions(LoadOptions.nf4().quantization(), d))) {
        LoraAdapter ad = a.length > 1 ? LoraAdapter.inject(m, LoraConfig.DEFAULT, 1) : null;
        for (long bound : new long[] {Long.MAX_VALUE, 0}) {
          for (int batch : bound == 0 ? new int[] {1} : new int[] {1, 8, 32}) {
            try (Generator g = new Generator(m, bound, 32)) {
              List<int[]> prompts = new ArrayList<>();
              for (int i = 0; i < batch; i++)
                prompts.add(new int[] {1, 2, 3 + i, 40, 50, 60, 70, 80});
              g.complete(prompts, GenerationSettings.greedy(8, Set.of()));
              int n = bound == 0 ? 8 : 48;
              long t = System.nanoTime();
              g.complete(prompts, GenerationSettings.greedy(n, Set.of()));
              double s = (System.nanoTime() - t) / 1e9;
              System.out.printf(
                  "%s batch %d kept %d MB: %.1f tokens/s%n",
                  d, batch, bound == 0 ? 0 : 1, n * batch / s);
            }
          }
        }
        if (ad != null) ad.close();
      }
    }
  }
}
