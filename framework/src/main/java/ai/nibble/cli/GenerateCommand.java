package ai.nibble.cli;

import ai.nibble.InvalidInputException;
import ai.nibble.lora.AdapterSet;
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
    description = "Lets a model, with or without adapters, answer prompts.",
    sortOptions = false,
    footer = {
      "",
      "Without options the model's generation_config.json says how answers are written, else the"
          + " most likely token is taken each time; a line on standard error says which setting"
          + " came from where. More: docs/generate.md",
      "",
      "Examples:",
      "  nibble generate --adapter out --prompt \"What is 17 + 25?\"",
      "  nibble generate --model SmolLM2-135M-Instruct --prompts questions.jsonl",
      "  nibble generate --model model.gguf --raw --prompt \"The capital of France is\"",
      "  nibble generate --adapter a=out/a --adapter b=out/b --use b \\",
      "      --prompt Hello --temperature 0.7 --top-p 0.9 --seed 1"
    })
final class GenerateCommand implements Callable<Integer> {
  private final GenerateRun run;

  @Spec private CommandSpec spec;
  @Mixin private CommonOptions common;
  @Mixin private ModelOptions model;

  @Option(
      names = "--use",
      paramLabel = "NAME|off",
      description =
          "The adapter of prompts that name none, or off for the base alone (default: the first).")
  private String use;

  @Option(
      names = "--prompt",
      paramLabel = "TEXT",
      description = "What to answer: one turn of a user, by the model's chat template.")
  private String prompt;

  @Option(
      names = "--prompts",
      paramLabel = "FILE",
      description =
          "Many prompts: .jsonl or .json with 'messages' or 'prompt', and perhaps 'adapter', or"
              + " .txt with one a line; answers come as lines of JSON.")
  private Path prompts;

  @Option(names = "--system", paramLabel = "TEXT", description = "A system turn before it.")
  private String system;

  @Option(names = "--raw", description = "Goes on from the text as it is, without the template.")
  private boolean raw;

  @Option(names = "--json", description = "Answers --prompt with a line of JSON, too.")
  private boolean json;

  @Mixin private SamplingOptions sampling;

  GenerateCommand(GenerateRun run) {
    this.run = run;
  }

  @Override
  public Integer call() {
    ModelRequest models = model.request();
    if ((prompt == null) == (prompts == null)) {
      throw usage("Expected one of --prompt and --prompts");
    }
    if (raw && system != null) {
      throw usage("--system is a turn of the chat template, which --raw leaves out: give one");
    }
    SamplingRequest how = sampling.request();
    if (prompt != null && !raw && prompt.isBlank()) {
      throw new InvalidInputException("--prompt is empty, expected some text");
    }
    if (use != null) {
      requireKnown(models);
    }
    GenerateRequest request =
        new GenerateRequest(
            models,
            how,
            Optional.ofNullable(prompt),
            Optional.ofNullable(prompts),
            Optional.ofNullable(system),
            raw,
            use == null ? models.firstAdapter() : use,
            json);
    run.run(request, spec.commandLine().getOut(), spec.commandLine().getErr());
    return 0;
  }

  private void requireKnown(ModelRequest models) {
    try {
      AdapterSet.requireKnown(use, models.adapterNames());
    } catch (InvalidInputException e) {
      throw new InvalidInputException("--use " + use + ": " + e.getMessage(), e);
    }
  }

  private ParameterException usage(String line) {
    return new ParameterException(spec.commandLine(), line);
  }
}
