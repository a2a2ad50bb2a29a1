package ai.nibble.cli;

import ai.nibble.FileProblem;
import ai.nibble.InvalidInputException;
import ai.nibble.data.RowFile;
import ai.nibble.data.bpe.BpeTrainer;
import ai.nibble.data.bpe.BpeVocabulary;
import ai.nibble.data.bpe.SplitPattern;
import ai.nibble.data.bpe.TokenizerFolder;
import ai.nibble.data.bpe.TokenizerSettings;
import ai.nibble.data.bpe.WordCounts;
import ai.nibble.data.jinja.JinjaTemplate;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** {@code nibble tokenizer}. */
@Command(
    name = "tokenizer",
    description = "Trains a byte-level BPE tokenizer and writes it as Hugging Face reads it.",
    sortOptions = false,
    footer = {
      "",
      "Rows have 'text' or 'messages'; of a .txt file every line is a row.",
      "Example:",
      "  nibble tokenizer --input rows.jsonl --vocab-size 2048 --out tokenizer \\",
      "      --special '<|endoftext|>' --eos '<|endoftext|>'"
    })
final class TokenizerCommand implements Callable<Integer> {
  @Spec private CommandSpec spec;
  @Mixin private CommonOptions common;

  @Option(
      names = "--input",
      required = true,
      paramLabel = "FILE",
      description = "Text to learn from (.txt, .jsonl, .json); may be given again.")
  private List<Path> inputs;

  @Option(
      names = "--vocab-size",
      required = true,
      paramLabel = "N",
      description = "Tokens in all: special ones, 256 bytes, and merges.")
  private int vocabSize;

  @Option(
      names = "--special",
      paramLabel = "TOKEN",
      description = "A control token; may be given again. The first gets id 0.")
  private List<String> special = List.of();

  @Option(names = "--bos", paramLabel = "TOKEN", description = "Which of them begins a sequence.")
  private String bos;

  @Option(names = "--eos", paramLabel = "TOKEN", description = "Which of them ends one.")
  private String eos;

  @Option(names = "--pad", paramLabel = "TOKEN", description = "Which of them fills batches.")
  private String pad;

  @Option(
      names = "--chat-template",
      paramLabel = "FILE",
      description = "A Jinja template to ship with it.")
  private Path chatTemplate;

  @Option(
      names = "--split",
      paramLabel = "NAME",
      description =
          "What parts words: qwen2 (a word keeps the space before it) or words (spaces stand alone)."
              + " Default: qwen2.")
  private String split = "qwen2";

  @Option(
      names = "--min-frequency",
      paramLabel = "N",
      description = "Pairs that come up less often are not joined. Default: 2.")
  private long minFrequency = 2;

  @Option(names = "--out", required = true, paramLabel = "DIR", description = "A new directory.")
  private Path out;

  @Override
  public Integer call() {
    TokenizerSettings settings = soundSettings();
    BpeTrainer trainer = new BpeTrainer(vocabSize, special, minFrequency);
    WordCounts words = new WordCounts(settings.pattern());
    inputs.forEach(words::add);
    BpeVocabulary vocabulary = trainer.train(words);
    TokenizerFolder.write(out, vocabulary, settings);
    report(words, vocabulary);
    return 0;
  }

  /** All that can be wrong is looked for before the text is read, which may take long. */
  private TokenizerSettings soundSettings() {
    List<String> problems = new ArrayList<>();
    check(problems, () -> TokenizerFolder.requireNew(out));
    for (Path input : inputs) {
      check(problems, () -> new RowFile(input, Map.of()).close());
    }
    check(problems, () -> new BpeTrainer(vocabSize, special, minFrequency));
    check(problems, this::pattern);
    check(problems, () -> template().ifPresent(this::compile));
    check(
        problems,
        () ->
            new TokenizerSettings(SplitPattern.QWEN2, roles(), Optional.empty())
                .requireSpecial(special));
    if (!problems.isEmpty()) {
      throw new InvalidInputException(problems);
    }
    return new TokenizerSettings(pattern(), roles(), template());
  }

  private static void check(List<String> problems, Runnable part) {
    try {
      part.run();
    } catch (InvalidInputException e) {
      problems.addAll(e.problems());
    }
  }

  private void compile(String template) {
    JinjaTemplate.compile(template, "--chat-template " + chatTemplate);
  }

  private void report(WordCounts words, BpeVocabulary vocabulary) {
    PrintWriter writer = spec.commandLine().getOut();
    int size = vocabulary.tokens().size();
    writer.printf(
        "%s: %d tokens, %d merges, from %d rows and %d words%n",
        out, size, vocabulary.merges().size(), words.rows(), words.total());
    writer.flush();
    if (size < vocabSize) {
      PrintWriter err = spec.commandLine().getErr();
      err.printf(
          "note: --vocab-size is %d, but no other pair comes up %d times%n",
          vocabSize, minFrequency);
      err.flush();
    }
  }

  private SplitPattern pattern() {
    for (SplitPattern pattern : SplitPattern.values()) {
      if (pattern.name().toLowerCase(java.util.Locale.ROOT).equals(split)) {
        return pattern;
      }
    }
    throw new InvalidInputException("--split is '" + split + "', expected one of [qwen2, words]");
  }

  private Map<String, String> roles() {
    Map<String, String> roles = new LinkedHashMap<>();
    put(roles, "bos_token", bos);
    put(roles, "eos_token", eos);
    put(roles, "pad_token", pad);
    return roles;
  }

  private static void put(Map<String, String> roles, String role, String token) {
    if (token != null) {
      roles.put(role, token);
    }
  }

  private Optional<String> template() {
    if (chatTemplate == null) {
      return Optional.empty();
    }
    try {
      return Optional.of(Files.readString(chatTemplate, StandardCharsets.UTF_8));
    } catch (IOException e) {
      throw new InvalidInputException(
          "--chat-template " + chatTemplate + " cannot be read as UTF-8: " + FileProblem.reason(e),
          e);
    }
  }
}
