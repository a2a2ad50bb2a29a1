package ai.nibble.cli;

import java.io.InputStream;
import java.util.Optional;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** {@code nibble chat}. */
@Command(
    name = "chat",
    description = "Talks with a model, with or without adapters, in the terminal or over a pipe.",
    sortOptions = false,
    footer = {
      "",
      "In the chat, /help lists the commands, Ctrl-C cancels an answer, Ctrl-D ends.",
      "More: docs/generate.md",
      "",
      "Examples:",
      "  nibble chat --adapter out",
      "  nibble chat --model SmolLM2-135M-Instruct --temperature 0.7 --top-p 0.9",
      "  nibble chat --adapter a=out/a --adapter b=out/b",
      "  echo \"What is 17 + 25?\" | nibble chat --adapter out"
    })
final class ChatCommand implements Callable<Integer> {
  private final InputStream in;

  @Spec private CommandSpec spec;
  @Mixin private CommonOptions common;
  @Mixin private ModelOptions model;

  @Option(names = "--system", paramLabel = "TEXT", description = "The system turn to begin with.")
  private String system;

  @Mixin private SamplingOptions sampling;

  @Option(
      names = "--verbose",
      description = "Says after each answer how long it took, on standard error.")
  private boolean verbose;

  /**
   * @param in what the user says, a turn a line
   */
  ChatCommand(InputStream in) {
    this.in = in;
  }

  @Override
  public Integer call() {
    ChatRequest request =
        new ChatRequest(model.request(), sampling.request(), Optional.ofNullable(system), verbose);
    Terminal terminal =
        new Terminal(
            in, spec.commandLine().getOut(), spec.commandLine().getErr(), Terminal.isAttached());
    Chat.run(request, terminal);
    return 0;
  }
}
