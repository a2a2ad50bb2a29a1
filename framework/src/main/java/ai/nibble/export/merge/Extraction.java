package ai.nibble.export.merge;

import ai.nibble.FileProblem;
import ai.nibble.InvalidInputException;
import ai.nibble.WholeDirectory;
import ai.nibble.WholeFile;
import ai.nibble.lora.AdapterConfig;
import ai.nibble.lora.AdapterConfigFile;
import ai.nibble.lora.AdapterNames;
import ai.nibble.lora.AdapterStore;
import ai.nibble.lora.InitLoraWeights;
import ai.nibble.lora.LoraConfig;
import ai.nibble.lora.PathValues;
import ai.nibble.lora.TargetMatcher;
import ai.nibble.lora.TargetModules;
import ai.nibble.lora.TruncatedSvd;
import ai.nibble.model.CausalLm;
import ai.nibble.model.WeightSource;
import ai.nibble.safetensors.SafetensorsWriter;
import ai.nibble.safetensors.TensorSpec;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Parallel;
import ai.nibble.tensor.Rows;
import ai.nibble.tensor.Scope;
import ai.nibble.tensor.Tensor;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.Consumer;

/**
 * Makes an adapter of rank r of what two models' linears differ by: the truncated singular value
 * decomposition of each difference, with alpha = r and so a scaling of 1. One difference is in
 * memory at a time.
 */
public final class Extraction {
  private final ExtractRequest request;
  private final Consumer<String> notices;
  private final Consumer<ExtractReport.Module> progress;
  private final Map<String, TruncatedSvd> found = new LinkedHashMap<>();
  private final List<ExtractReport.Module> modules = new ArrayList<>();

  private Extraction(
      ExtractRequest request, Consumer<String> notices, Consumer<ExtractReport.Module> progress) {
    this.request = request;
    this.notices = notices;
    this.progress = progress;
  }

  /**
   * Extracts.
   *
   * @param notices takes a line for what is ignored, such as a norm that differs
   * @param progress hears of each module that differs
   * @throws InvalidInputException if the models have not the same tensors, do not differ, or the
   *     rank is more than a weight's
   * @throws UncheckedIOException if the output cannot be written
   */
  public static ExtractReport run(
      ExtractRequest request, Consumer<String> notices, Consumer<ExtractReport.Module> progress) {
    return new Extraction(request, notices, progress).run();
  }

  private ExtractReport run() {
    WholeFile.requireNew(request.output(), "--output");
    try (Scope scope = new Scope()) {
      WeightSource stored = scope.own(WeightSource.open(request.base(), notices));
      WeightSource tuned = scope.own(WeightSource.open(request.tuned(), notices));
      HeldWeights base =
          scope.own(new HeldWeights(stored, stored.settle(request.quantization(), notices)));
      List<String> linears = CausalLm.linearPaths(base.config());
      requireSameShapes(base, tuned);
      requireRank(base, linears);
      for (String path : linears) {
        extract(path, base, tuned);
      }
      if (found.isEmpty()) {
        throw new InvalidInputException(
            request.tuned() + ": its linears are those of " + request.base() + ": no adapter");
      }
      noteOthers(base, tuned, linears);
      write(linears);
      return new ExtractReport(modules, explained());
    } catch (IOException e) {
      throw new UncheckedIOException(
          request.output() + ": cannot be written: " + FileProblem.reason(e), e);
    }
  }

  private void requireSameShapes(WeightSource base, WeightSource tuned) {
    List<String> problems = new ArrayList<>();
    for (String name : base.names()) {
      boolean there = tuned.names().contains(name);
      if (!there && !name.equals(AdapterUpdates.HEAD)) {
        problems.add(request.tuned() + ": no tensor '" + name + "', which the base has");
      } else if (there && !Arrays.equals(base.shape(name), tuned.shape(name))) {
        problems.add(
            request.tuned()
                + ": tensor '"
                + name
                + "' has the shape "
                + Arrays.toString(tuned.shape(name))
                + ", expected the base's "
                + Arrays.toString(base.shape(name)));
      }
    }
    if (!problems.isEmpty()) {
      throw new InvalidInputException(problems.subList(0, Math.min(8, problems.size())));
    }
  }

  private void requireRank(WeightSource base, List<String> linears) {
    for (String path : linears) {
      long[] shape = base.shape(path + ".weight");
      long smaller = Math.min(shape[0], shape[1]);
      if (request.rank() > smaller) {
        throw new InvalidInputException(
            "--rank is "
                + request.rank()
                + ", but the weight of '"
                + path
                + "' has only rank "
                + smaller
                + ": lower it");
      }
    }
  }

  private void extract(String path, WeightSource base, WeightSource tuned) {
    String name = path + ".weight";
    long[] shape = base.shape(name);
    try (Tensor difference = Tensor.empty(DType.FLOAT32, shape)) {
      double norm = Math.sqrt(subtract(name, base, tuned, difference));
      if (norm == 0) {
        return;
      }
      TruncatedSvd svd = TruncatedSvd.of(difference, request.rank());
      found.put(path, svd);
      ExtractReport.Module module = new ExtractReport.Module(path, norm, svd.explained());
      modules.add(module);
      progress.accept(module);
    }
  }

  /** Fills in tuned − base; returns its squared norm. */
  private double subtract(String name, WeightSource base, WeightSource tuned, Tensor difference) {
    int width = (int) difference.size(1);
    double[] squares = new double[(int) difference.size(0)];
    Parallel.forRanges(
        difference.size(0),
        Rows.grain(width),
        (begin, end) -> {
          float[] row = new float[width];
          float[] minus = new float[width];
          try (Rows rows = Rows.writing(difference, begin, end)) {
            for (long r = begin; r < end; r++) {
              tuned.read(name, r * width, row, 0, width);
              base.read(name, r * width, minus, 0, width);
              double sum = 0;
              for (int c = 0; c < width; c++) {
                row[c] -= minus[c];
                sum += (double) row[c] * row[c];
              }
              squares[(int) r] = sum;
              rows.store(r, row);
            }
          }
        });
    double sum = Arrays.stream(squares).sum();
    if (!Double.isFinite(sum)) {
      throw new InvalidInputException(
          "tensor '" + name + "' is not finite in one of the models: fetch its files again");
    }
    return sum;
  }

  /** Says which tensors differ that an adapter does not reach. */
  private void noteOthers(WeightSource base, WeightSource tuned, List<String> linears) {
    for (String name : tuned.names()) {
      if (name.endsWith(".weight")
          && linears.contains(name.substring(0, name.length() - ".weight".length()))) {
        continue;
      }
      double largest = largestDifference(name, base, tuned);
      if (largest > 0) {
        notices.accept(
            "'"
                + name
                + "' differs too, by up to "
                + (float) largest
                + ": B·A of linears cannot hold it, it stays the base's");
      }
    }
  }

  private static double largestDifference(String name, WeightSource base, WeightSource tuned) {
    int chunk = 1 << 16;
    long elements = Arrays.stream(base.shape(name)).reduce(1, (a, b) -> a * b);
    AtomicReference<Float> largest = new AtomicReference<>(0f);
    Parallel.forRanges(
        elements,
        chunk,
        (begin, end) -> {
          int n = (int) (end - begin);
          float[] a = new float[n];
          float[] b = new float[n];
          tuned.read(name, begin, a, 0, n);
          base.read(name, begin, b, 0, n);
          float most = 0;
          for (int i = 0; i < n; i++) {
            most = Math.max(most, Math.abs(a[i] - b[i]));
          }
          largest.accumulateAndGet(most, Math::max);
        });
    return largest.get();
  }

  private double explained() {
    double all = 0;
    double held = 0;
    for (ExtractReport.Module module : modules) {
      double squares = module.norm() * module.norm();
      all += squares;
      held += squares * module.explained();
    }
    return held / all;
  }

  private void write(List<String> linears) throws IOException {
    List<TensorSpec> specs = new ArrayList<>();
    found.forEach(
        (path, svd) -> {
          long r = request.rank();
          specs.add(TensorSpec.of(AdapterNames.loraA(path), DType.FLOAT32, r, svd.a().length / r));
          specs.add(TensorSpec.of(AdapterNames.loraB(path), DType.FLOAT32, svd.b().length / r, r));
        });
    try (WholeDirectory output = WholeDirectory.create(request.output(), "--output")) {
      Path file = output.path().resolve(AdapterStore.WEIGHTS);
      try (SafetensorsWriter writer = SafetensorsWriter.create(file, specs)) {
        found.forEach(
            (path, svd) -> {
              writer.write(AdapterNames.loraA(path), bytes(svd.a()));
              writer.write(AdapterNames.loraB(path), bytes(svd.b()));
            });
        writer.commit();
      }
      AdapterConfigFile.write(
          output.path(), new AdapterConfig(config(linears), request.base().toString()));
      output.commit();
    }
  }

  private LoraConfig config(List<String> linears) {
    LoraConfig plain =
        new LoraConfig(
            request.rank(),
            request.rank(),
            0,
            new TargetModules.AllLinear(),
            TargetModules.NONE,
            false,
            PathValues.none(),
            PathValues.none(),
            List.of(),
            List.of(),
            InitLoraWeights.KAIMING);
    return found.size() == linears.size()
        ? new TargetMatcher(plain).resolve(linears)
        : plain.withTargets(new TargetModules.Names(List.copyOf(found.keySet())));
  }

  private static ByteBuffer bytes(float[] values) {
    ByteBuffer bytes = ByteBuffer.allocate(values.length * Float.BYTES);
    bytes.order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer().put(values);
    return bytes;
  }
}
