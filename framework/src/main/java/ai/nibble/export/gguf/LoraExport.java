package ai.nibble.export.gguf;

import ai.nibble.InvalidInputException;
import ai.nibble.WholeFile;
import ai.nibble.gguf.GgmlType;
import ai.nibble.gguf.GgufHeader;
import ai.nibble.gguf.GgufTensorSpec;
import ai.nibble.gguf.GgufWriter;
import ai.nibble.lora.LoraConfig;
import ai.nibble.lora.StoredAdapter;
import ai.nibble.model.CausalLm;
import ai.nibble.model.GgufHyperparameters;
import ai.nibble.model.GgufLayout;
import ai.nibble.model.ModelConfig;
import ai.nibble.model.WeightSource;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;

/**
 * Writes an adapter alone as a GGUF file of type {@code adapter}, which llama.cpp puts on a base
 * ({@code --lora}) without merging.
 *
 * <p>llama.cpp scales B A by {@code adapter.lora.alpha} over the rank it sees in each B. What one
 * alpha cannot say is put into the numbers: rsLoRA as alpha · √r, ranks and alphas by pattern as a
 * factor on their B. The rows of q and k go in the order of the base's file, B's with them. Source:
 * {@code convert_lora_to_gguf.py}, {@code llama-adapter.cpp}.
 */
public final class LoraExport {
  private LoraExport() {}

  /**
   * Writes the file.
   *
   * @param base the model that the adapter is for; of its weights nothing is read
   * @param type F32, F16, BF16 or Q8_0; a matrix whose rows are no whole number of Q8_0's blocks is
   *     written as F16
   * @param notices takes one line for everything that is chosen in the caller's place
   * @return number of tensors written
   * @throws InvalidInputException if the file exists, the type is another, or the adapter does not
   *     fit the base
   */
  public static int write(
      Path base, Path adapter, FileType type, Path out, Consumer<String> notices) {
    WholeFile.requireNew(out, "--out");
    if (type.base() != GgmlType.Q8_0 && type.base().blockElements() != 1) {
      throw new InvalidInputException(
          "--type is '" + type + "', expected one of F32, F16, BF16, Q8_0 for an adapter alone");
    }
    try (WeightSource source = WeightSource.open(base, notices);
        StoredAdapter stored = StoredAdapter.open(adapter, source)) {
      requireExpressible(stored, source.config());
      List<GgufTensorSpec> specs = specs(stored, source, type.base(), notices);
      float alpha = alpha(stored.config().lora());
      GgufHeader header =
          new GgufHeader()
              .put("general.architecture", GgufHyperparameters.architecture(source.config()))
              .put("general.type", "adapter")
              .put("general.name", out.getFileName().toString().replaceFirst("\\.gguf$", ""))
              .put("general.file_type", type.number())
              .put("general.quantization_version", 2)
              .put("adapter.type", "lora")
              .put("adapter.lora.alpha", alpha);
      try (GgufWriter writer = GgufWriter.create(out, header, specs)) {
        for (String path : stored.modules()) {
          write(writer, stored, path, alpha, source.config());
        }
        writer.commit();
      }
      return specs.size();
    }
  }

  /** A GGUF LoRA holds A and B, of tensors that the base's file has. */
  private static void requireExpressible(StoredAdapter adapter, ModelConfig base) {
    String what = null;
    if (adapter.extras().useDora()) {
      what = "is a DoRA adapter";
    } else if (adapter.extras().loraBias()) {
      what = "has biases of B (lora_bias)";
    } else if (!adapter.replaced().isEmpty()) {
      what = "holds '" + adapter.replaced().iterator().next() + "', trained whole";
    } else if (!adapter.tokens().isEmpty()) {
      what = "holds rows of tokens";
    } else if (adapter.modules().stream()
        .anyMatch(path -> GgufLayout.expertPart(base, path + ".weight").isPresent())) {
      what = "changes experts of a mixture, which lie together in a file";
    } else if (base.tieWordEmbeddings()
        && (adapter.modules().contains(CausalLm.HEAD)
            || adapter.modules().contains(CausalLm.EMBEDDING))) {
      what = "changes embed_tokens or lm_head, which are one tensor in this base's file";
    }
    if (what != null) {
      throw new InvalidInputException(
          adapter.directory()
              + ": "
              + what
              + ", which a GGUF LoRA cannot hold: leave out --adapter-only, and the adapter is"
              + " merged into the model's file");
    }
  }

  /** The alpha of most modules; a zero would mean "no scaling" to llama.cpp. */
  private static float alpha(LoraConfig config) {
    double scaling = config.alpha() / (config.useRslora() ? Math.sqrt(config.r()) : config.r());
    return scaling == 0 ? config.r() : (float) (scaling * config.r());
  }

  private static List<GgufTensorSpec> specs(
      StoredAdapter adapter, WeightSource base, GgmlType type, Consumer<String> notices) {
    List<GgufTensorSpec> specs = new ArrayList<>();
    int fallbacks = 0;
    for (String path : adapter.modules()) {
      long[] weight = base.shape(path + ".weight");
      long r = adapter.rank(path);
      String name = name(base.config(), path);
      if (path.equals(CausalLm.EMBEDDING)) {
        fallbacks += add(specs, name + ".lora_a", type, weight[0], r);
        fallbacks += add(specs, name + ".lora_b", type, weight[1], r);
        continue;
      }
      fallbacks += add(specs, name + ".lora_a", type, r, weight[1]);
      fallbacks += add(specs, name + ".lora_b", type, weight[0], r);
    }
    if (fallbacks > 0) {
      notices.accept(
          "%d of %d matrices have rows that are no whole number of blocks of %s, and are written as"
                  .formatted(fallbacks, specs.size(), type)
              + " F16");
    }
    return specs;
  }

  /** Returns 1 if the type did not fit. */
  private static int add(
      List<GgufTensorSpec> specs, String name, GgmlType type, long rows, long columns) {
    boolean fits = columns % type.blockElements() == 0;
    specs.add(new GgufTensorSpec(name, fits ? type : GgmlType.F16, List.of(rows, columns)));
    return fits ? 0 : 1;
  }

  /** Rows of A are looked up, so it lies transposed, {@code [vocabulary, r]}; B as PEFT has it. */
  private static void writeEmbedding(
      GgufWriter writer, String name, StoredAdapter adapter, int r, float factor) {
    float[] a = adapter.left(CausalLm.EMBEDDING);
    float[] right = adapter.right(CausalLm.EMBEDDING);
    int hidden = right.length / r;
    writer.write(name + ".lora_a", (row, into) -> System.arraycopy(a, (int) row * r, into, 0, r));
    writer.write(
        name + ".lora_b",
        (row, into) -> {
          for (int k = 0; k < r; k++) {
            into[k] = factor * right[k * hidden + (int) row];
          }
        });
  }

  private static String name(ModelConfig base, String path) {
    return GgufLayout.ggufName(base, path + ".weight").orElseThrow();
  }

  private static void write(
      GgufWriter writer, StoredAdapter adapter, String path, float alpha, ModelConfig base) {
    int r = adapter.rank(path);
    // 1 but for ranks and alphas by pattern
    float factor = (float) (adapter.scaling(path) * r / alpha);
    if (path.equals(CausalLm.EMBEDDING)) {
      writeEmbedding(writer, name(base, path), adapter, r, factor);
      return;
    }
    float[] a = adapter.right(path);
    float[] b = adapter.left(path);
    boolean permuted = GgufLayout.isPermuted(base, path + ".weight");
    int headDim = base.headDim();
    String name = name(base, path);
    writer.write(
        name + ".lora_a",
        (row, into) -> System.arraycopy(a, (int) row * into.length, into, 0, into.length));
    writer.write(
        name + ".lora_b",
        (row, into) -> {
          int from = (int) (permuted ? GgufLayout.huggingFaceRow(row, headDim) : row) * r;
          for (int k = 0; k < r; k++) {
            into[k] = factor * b[from + k];
          }
        });
  }
}
