package ai.nibble.cli;

import ai.nibble.generate.GenerationSettings;
import ai.nibble.model.LoadOptions;
import ai.nibble.tensor.DType;
import java.nio.file.Path;
import java.util.Optional;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/** {@code nibble generate}. */
@Command(
    name = "generate",
    description = "Lets a model, with or without an adapter, answer prompts (greedy decoding).",
    sortOptions = false,
    footer = {
      "",
      "Examples:",
      "  nibble generate --adapter out --prompt \"What is 17 + 25?\"",
      "  nibble generate --model SmolLM2-135M-Instruct --prompts questions.jsonl > answers.jsonl",
      "  nibble generate --model model.gguf --raw --prompt \"The capital of France is\""
    })
final class GenerateCommand implements Callable<Integer> {
  private final GenerateRun run;

  @Spec private CommandSpec spec;
  @Mixin private CommonOptions common;

  @Option(
      names = "--model",
      paramLabel = "DIR|GGUF",
      description = "The base model; without it: what the adapter was trained on.")
  private Path model;

  @Option(
      names = "--adapter",
      paramLabel = "DIR",
      description = "An adapter in PEFT's form, such as the output of 'nibble train'.")
  private Path adapter;

  @Option(
      names = "--prompt",
      paramLabel = "TEXT",
      description = "What to answer: one turn of a user, by the model's chat template.")
  private String prompt;

  @Option(
      names = "--prompts",
      paramLabel = "FILE",
      description =
          "Many prompts: .jsonl or .json with 'messages' or 'prompt', or .txt with one a line;"
              + " answers come as lines of JSON.")
  private Path prompts;

  @Option(names = "--system", paramLabel = "TEXT", description = "A system turn before it.")
  private String system;

  @Option(names = "--raw", description = "Goes on from the text as it is, without the template.")
  private boolean raw;

  @Option(
      names = "--max-new-tokens",
      paramLabel = "N",
      description = "Most tokens of an answer (default: ${DEFAULT-VALUE}).")
  private int maxNewTokens = GenerationSettings.MAX_NEW_TOKENS;

  @Option(
      names = "--load-in-4bit",
      description =
          "Holds the base in NF4 with double quantisation; without it: as the adapter was trained,"
              + " else as stored.")
  private boolean loadIn4bit;

  @Option(
      names = "--compute-dtype",
      paramLabel = "TYPE",
      description = "auto, bfloat16 or float32; without it: as the adapter was trained, else auto.")
  private String computeDtype;

  GenerateCommand(GenerateRun run) {
    this.run = run;
  }

  @Override
  public Integer call() {
    if (model == null && adapter == null) {
      throw usage("Missing required option: --model, or --adapter, or both");
    }
    if ((prompt == null) == (prompts == null)) {
      throw usage("Expected one of --prompt and --prompts");
    }
    if (raw && system != null) {
      throw usage("--system is a turn of the chat template, which --raw leaves out: give one");
    }
    if (maxNewTokens < 1) {
      throw usage("--max-new-tokens is " + maxNewTokens + ", expected at least 1");
    }
    GenerateRequest request =
        new GenerateRequest(
            Optional.ofNullable(model),
            Optional.ofNullable(adapter),
            Optional.ofNullable(prompt),
            Optional.ofNullable(prompts),
            Optional.ofNullable(system),
            raw,
            maxNewTokens,
            loadIn4bit,
            dtype());
    run.run(request, spec.commandLine().getOut(), spec.commandLine().getErr());
    return 0;
  }

  private Optional<DType> dtype() {
    if (computeDtype == null) {
      return Optional.empty();
    }
    return switch (computeDtype) {
      case "auto" -> Optional.of(LoadOptions.autoComputeDtype());
      case "bfloat16" -> Optional.of(DType.BFLOAT16);
      case "float32" -> Optional.of(DType.FLOAT32);
      default ->
          throw usage(
              "--compute-dtype is '"
                  + computeDtype
                  + "', expected one of [auto, bfloat16, float32]");
    };
  }

  private ParameterException usage(String line) {
    return new ParameterException(spec.commandLine(), line);
  }
}
