package ai.nibble.cli;

import ai.nibble.InvalidInputException;
import ai.nibble.export.PeftExport;
import ai.nibble.export.gguf.FileType;
import ai.nibble.export.gguf.LoraExport;
import ai.nibble.export.gguf.ModelExport;
import ai.nibble.recipe.TrainedWith;
import ai.nibble.tensor.DType;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.Locale;
import java.util.Optional;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/** {@code nibble export}. */
@Command(
    name = "export",
    description = "Writes a model, or an adapter, as other programs read it.",
    sortOptions = false,
    footer = {
      "",
      "Types: F32 F16 BF16 Q8_0 Q4_0 Q4_1 Q5_0 Q5_1 Q2_K Q3_K_S Q3_K_M Q3_K_L Q4_K_S",
      "  Q4_K_M Q5_K_S Q5_K_M Q6_K; Q3_K, Q4_K and Q5_K mean their _M, as in llama.cpp.",
      "",
      "Examples:",
      "  nibble export --adapter out --type Q4_K_M --out model.gguf",
      "      (and model.Modelfile)",
      "  nibble export --model SmolLM2-135M-Instruct --type Q8_0 --out smollm2.gguf",
      "  nibble export --adapter out --adapter-only --out lora.gguf",
      "      (llama-cli --lora lora.gguf)",
      "  nibble export --adapter out --peft --type BF16 --out adapter-bf16",
      "",
      "docs/export.md says what the types lose, and what llama.cpp makes of them."
    })
final class ExportCommand implements Callable<Integer> {
  @Spec private CommandSpec spec;
  @Mixin private CommonOptions common;

  @Option(
      names = "--model",
      paramLabel = BaseArgument.LABEL,
      converter = BaseArgument.class,
      description = "The base model; without it: what the adapter was trained on.")
  private Path model;

  @Option(
      names = "--adapter",
      paramLabel = "DIR",
      description = "An adapter in PEFT's form, merged into the weights on the way.")
  private Path adapter;

  @Option(
      names = {"--out", "--output"},
      required = true,
      paramLabel = "FILE",
      description = "The .gguf file to make; with --peft a directory or a .safetensors file.")
  private Path out;

  @Option(
      names = "--type",
      paramLabel = "TYPE",
      description = "What most weights become (default: Q8_0, for an adapter F32).")
  private String type;

  @Option(
      names = "--adapter-only",
      description = "Writes the adapter alone, as a GGUF LoRA; --type F32, F16, BF16 or Q8_0.")
  private boolean adapterOnly;

  @Option(
      names = "--peft",
      description = "Writes the adapter for PEFT; --type F32 or BF16. Needs no base.")
  private boolean peft;

  @Option(
      names = "--chat-template",
      paramLabel = "FILE",
      description = "The Jinja template to write; without it: the adapter's, else the base's.")
  private Path chatTemplate;

  @Option(
      names = "--pre",
      paramLabel = "NAME",
      description = "llama.cpp's name of the pre-tokenizer; without it: by tokenizer.json.")
  private String pre;

  @Override
  public Integer call() {
    if (model == null && adapter == null) {
      throw usage("Missing required option: --model, or --adapter, or both");
    }
    if (adapterOnly && peft) {
      throw usage("Expected one of --adapter-only and --peft");
    }
    if ((adapterOnly || peft) && adapter == null) {
      throw usage("Missing required option: --adapter, which is to be written");
    }
    if ((adapterOnly || peft) && (chatTemplate != null || pre != null)) {
      throw usage("--chat-template and --pre belong to a model, an adapter alone has neither");
    }
    FileType chosen = FileType.named(type != null ? type : adapterOnly || peft ? "F32" : "Q8_0");
    if (peft) {
      exportPeft(chosen);
    } else if (adapterOnly) {
      int tensors = LoraExport.write(base(), adapter, chosen, out, this::note);
      say("%s: %d tensors, %s", out, tensors, size(out));
    } else {
      exportModel(chosen);
    }
    return 0;
  }

  private void exportPeft(FileType chosen) {
    if (chosen != FileType.F32 && chosen != FileType.BF16) {
      throw new InvalidInputException("--type is '" + type + "', expected F32 or BF16 for --peft");
    }
    DType dtype = chosen == FileType.F32 ? DType.FLOAT32 : DType.BFLOAT16;
    int tensors = PeftExport.write(adapter, dtype, out);
    say("%s: %d tensors in %s", out, tensors, dtype.torchName());
  }

  private void exportModel(FileType chosen) {
    Optional<TrainedWith> trained = Optional.ofNullable(adapter).flatMap(TrainedWith::read);
    if (trained.flatMap(TrainedWith::quantization).isPresent()) {
      note(
          "the adapter was trained over a 4-bit base and is merged into the base's own weights;"
              + " for exactly what was trained, merge it into the 4-bit base first");
    }
    Optional<Path> template =
        Optional.ofNullable(chatTemplate).or(() -> trained.flatMap(TrainedWith::chatTemplate));
    ModelExport.Report report =
        ModelExport.write(
            new ModelExport.Request(
                base(),
                Optional.ofNullable(adapter),
                chosen,
                out,
                template,
                Optional.ofNullable(pre)),
            this::note);
    int tensors = report.tensors().values().stream().mapToInt(Integer::intValue).sum();
    say("%s: %s, %d tensors %s, %s", out, chosen, tensors, report.tensors(), size(out));
    if (report.relativeError() > 0) {
      say("relative error of the quantised weights %.2f %%", 100 * report.relativeError());
    }
    say("%s: for 'ollama create NAME -f %s'", report.modelfile(), report.modelfile());
  }

  /** The base that was given, or that the adapter names and that is there. */
  private Path base() {
    Path base = named();
    return adapter == null ? base : TrainedWith.baseFor(base, adapter);
  }

  private Path named() {
    if (model != null) {
      return model;
    }
    Path found = BaseOfAdapter.find(adapter, TrainedWith.read(adapter));
    note("base model " + found);
    return found;
  }

  private static String size(Path file) {
    return String.format(Locale.ROOT, "%.1f MiB", file.toFile().length() / (double) (1 << 20));
  }

  private void say(String format, Object... arguments) {
    PrintWriter writer = spec.commandLine().getOut();
    writer.println(String.format(Locale.ROOT, format, arguments));
    writer.flush();
  }

  private void note(String line) {
    PrintWriter writer = spec.commandLine().getErr();
    writer.println("note: " + line);
    writer.flush();
  }

  private ParameterException usage(String line) {
    return new ParameterException(spec.commandLine(), line);
  }
}
