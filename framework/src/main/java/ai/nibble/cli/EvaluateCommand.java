package ai.nibble.cli;

import ai.nibble.generate.GenerationSettings;
import ai.nibble.tensor.Device;
import java.nio.file.Path;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/** {@code nibble evaluate}. */
@Command(
    name = "evaluate",
    description =
        "Measures a model, its adapter and its quantisations: perplexity, multiple choice, exact"
            + " answers.",
    sortOptions = false,
    footer = {
      "",
      "Tasks, file formats and what is computed: docs/evaluate.md",
      "Examples:",
      "  nibble evaluate --model DIR --task perplexity=wikitext2_test.txt",
      "  nibble evaluate --adapter out --task gsm8k=test.jsonl --chat \\",
      "      --compare base,adapter",
      "  nibble evaluate --model DIR --task hellaswag=validation.jsonl --limit 1000 \\",
      "      --compare base,nf4,nf4-dq,fp4 --results results.jsonl"
    })
final class EvaluateCommand implements Callable<Integer> {
  private static final int BATCH_TOKENS = 2048;

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
      description = "An adapter in PEFT's form, such as the output of 'nibble train'.")
  private Path adapter;

  @Option(
      names = "--task",
      required = true,
      paramLabel = "TASK=FILE",
      description =
          "What to measure, once or more: perplexity, hellaswag, mmlu, arc, piqa, winogrande,"
              + " choices or gsm8k. TASK:LABEL=FILE tells two of one kind apart.")
  private List<String> tasks;

  @Option(
      names = "--compare",
      split = ",",
      paramLabel = "NAME",
      description =
          "Models to put side by side, differences to the first: base (as stored), fp32, bf16, nf4,"
              + " nf4-dq, fp4, fp4-dq, int8, adapter (on the base as it was trained), NAME+adapter,"
              + " or another .gguf file. Default: adapter if there is one, else base.")
  private List<String> compare = List.of();

  @Option(
      names = "--limit",
      paramLabel = "[TASK=]N",
      description = "Only the first items of a task; for perplexity windows.")
  private List<String> limits = List.of();

  @Option(
      names = "--num-fewshot",
      paramLabel = "[TASK=]N",
      description = "Solved examples before each question (default: 0).")
  private List<String> numFewshot = List.of();

  @Option(
      names = "--fewshot-file",
      paramLabel = "TASK=FILE",
      description = "Where examples come from; without it: the other items of the task's file.")
  private List<String> fewshotFiles = List.of();

  @Option(
      names = "--fewshot-seed",
      paramLabel = "N",
      description = "Decides which examples (default: ${DEFAULT-VALUE}).")
  private long fewshotSeed = 42;

  @Option(
      names = "--window",
      paramLabel = "N",
      description =
          "Tokens of a window of perplexity (default: 1024, or the model's context if less).")
  private Integer window;

  @Option(
      names = "--stride",
      paramLabel = "N",
      description =
          "Tokens from window to window; less than a window lets them overlap, so that every token"
              + " has a context (default: the window).")
  private Integer stride;

  @Option(
      names = "--chat",
      description = "Asks gsm8k's questions as turns of a user, by the model's chat template.")
  private boolean chat;

  @Option(
      names = "--max-new-tokens",
      paramLabel = "N",
      description = "Most tokens of a gsm8k answer (default: ${DEFAULT-VALUE}).")
  private int maxNewTokens = GenerationSettings.MAX_NEW_TOKENS;

  @Option(
      names = "--compute-dtype",
      paramLabel = "TYPE",
      description =
          "auto, bfloat16, float16 or float32; without it: as the adapter was trained, else auto.")
  private String computeDtype;

  @Mixin private DeviceOption device;

  @Option(
      names = "--batch-tokens",
      paramLabel = "N",
      description = "Tokens computed at once (default: ${DEFAULT-VALUE}).")
  private int batchTokens = BATCH_TOKENS;

  @Option(
      names = "--results",
      paramLabel = "FILE",
      description =
          "Keeps each item's result there as it is computed; a run that was ended goes on with it.")
  private Path results;

  @Option(names = "--json", paramLabel = "FILE", description = "Writes the table as JSON, too.")
  private Path json;

  @Option(
      names = "--cost",
      description =
          "Measures memory, load time and decoding speed, too; with one model, as peaks are of the"
              + " whole process ('nibble quality' does so for several).")
  private boolean cost;

  @Override
  public Integer call() {
    if (model == null && adapter == null) {
      throw usage("Missing required option: --model, or --adapter, or both");
    }
    if (maxNewTokens < 1 || batchTokens < 1) {
      throw usage("--max-new-tokens and --batch-tokens must be at least 1");
    }
    if (cost && compare.size() > 1) {
      throw usage("--cost measures one model, --compare names " + compare.size());
    }
    new EvaluationRun(request(), spec.commandLine().getOut(), spec.commandLine().getErr()).run();
    return 0;
  }

  private EvaluateRequest request() {
    List<Device> where = device.devices();
    List<TaskOption> parsed = tasks.stream().map(TaskOption::parse).toList();
    Set<String> names = new LinkedHashSet<>();
    for (TaskOption task : parsed) {
      if (!names.add(task.name())) {
        throw usage("--task '" + task.name() + "' is given twice: tell them apart with a label");
      }
    }
    requireUse(parsed);
    return new EvaluateRequest(
        Optional.ofNullable(model),
        Optional.ofNullable(adapter),
        parsed,
        compare,
        ComputeDtype.parse(computeDtype, where.get(0), spec),
        where,
        ByTask.parse("--num-fewshot", numFewshot, names),
        ByTask.parse("--fewshot-file", fewshotFiles, names),
        fewshotSeed,
        ByTask.parse("--limit", limits, names),
        chat,
        maxNewTokens,
        Optional.ofNullable(window),
        Optional.ofNullable(stride),
        batchTokens,
        cost,
        Optional.ofNullable(results),
        Optional.ofNullable(json));
  }

  /** An option that no task follows would otherwise be believed to have been followed. */
  private void requireUse(List<TaskOption> parsed) {
    Set<String> kinds = parsed.stream().map(TaskOption::kind).collect(Collectors.toSet());
    if ((window != null || stride != null) && !kinds.contains(TaskOption.PERPLEXITY)) {
      throw usage("--window and --stride are of perplexity, which no --task measures");
    }
    if (chat && !kinds.contains(TaskOption.GSM8K)) {
      throw usage("--chat is of gsm8k, which no --task measures");
    }
    for (TaskOption task : parsed) {
      String own = task.name() + "=";
      if (task.kind().equals(TaskOption.PERPLEXITY)
          && Stream.of(numFewshot, fewshotFiles)
              .flatMap(List::stream)
              .anyMatch(of -> of.startsWith(own))) {
        throw usage(
            "--num-fewshot and --fewshot-file are not of " + task.name() + ", which is text");
      }
    }
    if (!fewshotFiles.isEmpty() && numFewshot.isEmpty()) {
      throw usage("--fewshot-file is given without --num-fewshot, by which no example is shown");
    }
  }

  private ParameterException usage(String line) {
    return new ParameterException(spec.commandLine(), line);
  }
}
