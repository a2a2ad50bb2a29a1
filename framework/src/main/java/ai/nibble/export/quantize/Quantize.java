package ai.nibble.export.quantize;

import ai.nibble.FileProblem;
import ai.nibble.InvalidInputException;
import ai.nibble.UnfinishedDirectory;
import ai.nibble.WholeFile;
import ai.nibble.export.ShardWriter;
import ai.nibble.model.BaseFiles;
import ai.nibble.model.CausalLm;
import ai.nibble.model.ModelStore;
import ai.nibble.model.WeightSource;
import ai.nibble.safetensors.SafetensorsFile;
import ai.nibble.safetensors.SafetensorsWriter;
import ai.nibble.tensor.DType;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.function.Consumer;
import java.util.stream.Stream;

/**
 * Writes a base with its linears quantised, as a directory that transformers and bitsandbytes load.
 * It appears whole or not at all; where it is interrupted, the files that were done are kept, and
 * the same request goes on behind them.
 */
public final class Quantize {
  private final QuantizeRequest request;
  private final Consumer<String> notices;
  private final Consumer<String> progress;

  private Quantize(QuantizeRequest request, Consumer<String> notices, Consumer<String> progress) {
    this.request = request;
    this.notices = notices;
    this.progress = progress;
  }

  /**
   * Quantises.
   *
   * @param notices takes a line for what is chosen or left out
   * @param progress takes a line for each file that is begun
   * @throws InvalidInputException if the output exists, or the base cannot be quantised so
   * @throws UncheckedIOException if the output cannot be written
   */
  public static QuantizeReport run(
      QuantizeRequest request, Consumer<String> notices, Consumer<String> progress) {
    WholeFile.requireNew(request.output(), "--output");
    try (WeightSource base = WeightSource.open(request.base(), notices)) {
      return run(base, request, notices, progress);
    }
  }

  /**
   * Quantises other values than those in the base's files.
   *
   * @param base of those values, otherwise that of the request; stays the caller's
   */
  public static QuantizeReport run(
      WeightSource base,
      QuantizeRequest request,
      Consumer<String> notices,
      Consumer<String> progress) {
    WholeFile.requireNew(request.output(), "--output");
    return new Quantize(request, notices, progress).run(base);
  }

  private QuantizeReport run(WeightSource base) {
    try {
      requirePlain(base);
      List<String> linears = CausalLm.linearPaths(base.config());
      request.config().skipModules().requireAmong(linears);
      tellOfExperts(linears);
      QuantizedContent content = new QuantizedContent(base, request.config());
      ShardWriter writer = new ShardWriter(content, SafetensorsWriter.PYTORCH, progress);
      BaseFiles files = BaseFiles.read(request.base());
      try (UnfinishedDirectory output =
          UnfinishedDirectory.open(request.output(), "--output", work())) {
        try {
          requireRoom(output.path(), writer.bytes());
          int shards = writer.write(output.path(), request.maxShardBytes());
          saveFiles(files, base, output.path());
          checkReadable(output.path());
          long bytes = bytes(output.path());
          output.commit();
          return new QuantizeReport(
              content.linears(), linears.size() - content.linears(), shards, bytes);
        } catch (InvalidInputException e) {
          output.discard(); // going on would end the same way
          throw e.at(request.base());
        }
      }
    } catch (IOException e) {
      throw new UncheckedIOException(
          request.output() + ": cannot be written: " + FileProblem.reason(e), e);
    }
  }

  private void requirePlain(WeightSource base) {
    base.quantization()
        .ifPresent(
            stored -> {
              throw new InvalidInputException(
                  request.base()
                      + ": is quantised already ("
                      + stored
                      + "), expected a model in 16 or 32 bits: quantise the original one");
            });
  }

  /**
   * transformers 5 holds the experts of a layer in one tensor, which bitsandbytes does not
   * quantise: it takes the codes of single ones for nothing it knows.
   */
  private void tellOfExperts(List<String> linears) {
    boolean quantised =
        linears.stream()
            .filter(path -> path.contains("." + QuantizationJson.EXPERTS + "."))
            .anyMatch(request.config()::quantizes);
    if (quantised) {
      notices.accept(
          request.output()
              + ": holds each expert as a quantised module, as Nibble and transformers 4 load it;"
              + " transformers 5 does not: for that leave them plain (--skip-modules experts)");
    }
  }

  /** All that the written files depend on: the request, and the base's files as they are. */
  private String work() throws IOException {
    List<String> lines = new ArrayList<>();
    lines.add(request.config().description());
    lines.add(request.computeDtype().map(DType::torchName).orElse("the base's dtype"));
    lines.add("shards of " + request.maxShardBytes());
    for (Path file : baseFiles()) {
      lines.add(file.toRealPath() + " " + Files.size(file) + " " + Files.getLastModifiedTime(file));
    }
    return String.join("\n", lines) + "\n";
  }

  private List<Path> baseFiles() throws IOException {
    try (Stream<Path> listing = Files.list(WeightSource.directory(request.base()))) {
      return listing
          .filter(Files::isRegularFile)
          .filter(
              file ->
                  file.getFileName().toString().matches(".*\\.(safetensors|gguf|json|jinja|txt)"))
          .sorted()
          .toList();
    }
  }

  private void requireRoom(Path directory, long bytes) throws IOException {
    long free = Files.getFileStore(directory).getUsableSpace() + bytes(directory);
    if (free < bytes) {
      throw new InvalidInputException(
          String.format(
              Locale.ROOT,
              "%s: the quantised weights take %.1f GB, but only %.1f GB are free there",
              request.output(),
              bytes / 1e9,
              free / 1e9));
    }
  }

  private void saveFiles(BaseFiles files, WeightSource base, Path directory) throws IOException {
    DType dtype = base.config().dtype();
    DType written = dtype.bytes() > Float.BYTES ? DType.FLOAT32 : dtype;
    ModelStore.saveFiles(
        files,
        base.config(),
        written,
        directory,
        QuantizationJson.of(
            request.config(),
            request.computeDtype().orElse(written),
            CausalLm.linearPaths(base.config()),
            CausalLm.routerName(base.config())));
  }

  private void checkReadable(Path directory) {
    try (WeightSource written = WeightSource.open(directory, notices)) {
      if (written.quantization().isEmpty()) {
        throw new IllegalStateException(directory + " reads back as plain weights");
      }
    }
  }

  private static long bytes(Path directory) throws IOException {
    try (Stream<Path> listing = Files.list(directory)) {
      long bytes = 0;
      for (Path file : listing.filter(f -> f.toString().endsWith(".safetensors")).toList()) {
        try (SafetensorsFile weights = SafetensorsFile.open(file)) {
          for (String name : weights.names()) {
            bytes += weights.tensor(name).bytes();
          }
        }
      }
      return bytes;
    }
  }
}
