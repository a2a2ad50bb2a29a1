package ai.nibble.cli;

import ai.nibble.InvalidInputException;
import ai.nibble.hub.HubId;
import ai.nibble.hub.HubModels;
import ai.nibble.hub.HubSettings;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.Locale;
import java.util.concurrent.Callable;
import java.util.function.Supplier;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code nibble download}. */
@Command(
    name = "download",
    description =
        "Fetches a model from the Hugging Face hub, or brings it up to date, and prints where it"
            + " is.",
    sortOptions = false,
    footer = {
      "",
      "Fetched are configuration, tokenizer and safetensors, or one GGUF file; each",
      "is checked by the hub's sum of it. They go to the cache of Hugging Face's own",
      "tools. Environment:",
      "  HF_ENDPOINT      another hub, a mirror",
      "  HF_HUB_CACHE     the cache; else hub in HF_HOME, ~/.cache/huggingface/hub",
      "  HF_TOKEN         for gated models; else what 'hf auth login' wrote",
      "  HF_HUB_OFFLINE   1: only what is in the cache",
      "Examples:",
      "  nibble download HuggingFaceTB/SmolLM2-135M-Instruct",
      "  nibble download ORG/NAME-GGUF/NAME-Q8_0.gguf --revision main",
    })
final class DownloadCommand implements Callable<Integer> {
  private final Supplier<HubSettings> hubSettings;

  @Spec private CommandSpec spec;
  @Mixin private CommonOptions common;

  @Parameters(
      paramLabel = "ID",
      description = "ORG/NAME, or ORG/NAME/FILE.gguf; @REVISION may follow.")
  private String id;

  @Option(
      names = "--revision",
      paramLabel = "REV",
      description = "A branch, a tag or a commit; without it main.")
  private String revision;

  @Option(names = "--dry-run", description = "Says what would be fetched, and its size, no more.")
  private boolean dryRun;

  /**
   * @param hubSettings asked for when it runs
   */
  DownloadCommand(Supplier<HubSettings> hubSettings) {
    this.hubSettings = hubSettings;
  }

  @Override
  public Integer call() {
    PrintWriter out = spec.commandLine().getOut();
    PrintWriter err = spec.commandLine().getErr();
    HubSettings settings = hubSettings.get();
    HubModels hub =
        new HubModels(
            settings,
            line -> {
              err.println(line);
              err.flush();
            });
    HubId wanted = id();
    if (dryRun) {
      print(hub.plan(wanted), out);
      return 0;
    }
    Path path = settings.offline() ? hub.locate(wanted) : hub.fetch(wanted);
    HubModels.idOf(path.toString())
        .flatMap(HubId::revision)
        .ifPresent(commit -> err.println(wanted + " is commit " + commit));
    err.flush();
    out.println(path);
    return 0;
  }

  private HubId id() {
    HubId parsed =
        HubId.parse(id)
            .orElseThrow(
                () ->
                    new InvalidInputException(
                        "'"
                            + id
                            + "' is no id of a model, expected ORG/NAME or ORG/NAME/FILE.gguf"));
    if (revision != null && parsed.revision().isPresent()) {
      throw new InvalidInputException(
          "the revision is given twice, in '" + id + "' and by --revision: give it once");
    }
    return revision == null ? parsed : parsed.at(revision);
  }

  private static void print(HubModels.Plan plan, PrintWriter out) {
    out.println("commit " + plan.commit());
    plan.files()
        .forEach((name, size) -> out.println(String.format(Locale.ROOT, "%,15d  %s", size, name)));
    out.println(
        String.format(Locale.ROOT, "%,15d  bytes to fetch into %s", plan.bytes(), plan.snapshot()));
  }
}
