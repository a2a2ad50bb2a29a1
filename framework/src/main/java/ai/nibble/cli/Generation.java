package ai.nibble.cli;

import ai.nibble.generate.AnswerStream;
import ai.nibble.generate.AnswerText;
import ai.nibble.generate.Completion;
import ai.nibble.generate.FinishReason;
import ai.nibble.generate.GenerationSettings;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.PrintWriter;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

/** Loads what a {@link GenerateRequest} names, and answers its prompts. */
final class Generation {
  private static final JsonMapper JSON = JsonMapper.builder().build();

  private final GenerateRequest request;
  private final PrintWriter out;
  private final PrintWriter err;
  private ModelFiles files;
  private LoadedModel loaded;
  private Decoding decoding;

  private Generation(GenerateRequest request, PrintWriter out, PrintWriter err) {
    this.request = request;
    this.out = out;
    this.err = err;
  }

  static void run(GenerateRequest request, PrintWriter out, PrintWriter err) {
    new Generation(request, out, err).run();
  }

  private void run() {
    try (ModelFiles opened = new ModelFiles(request.model(), !request.raw(), this::note)) {
      files = opened;
      // prompts first: a bad one is found before the weights are read
      List<Prompt> prompts = Prompt.read(request, files);
      decoding = files.decoding(request.sampling());
      note(decoding.description());
      try (LoadedModel ready = files.load()) {
        loaded = ready;
        note(loaded.generator().description());
        if (request.prompt().isPresent() && !request.json()) {
          stream(prompts.get(0));
        } else {
          answerAll(prompts);
        }
      }
    }
  }

  private void stream(Prompt prompt) {
    loaded.select(prompt.adapter());
    GenerationSettings settings = files.settings(decoding, prompt.adapter());
    long start = System.nanoTime();
    try (AnswerStream answer =
        new AnswerStream(
            loaded.generator().stream(prompt.ids(), settings),
            files.tokenizer(),
            decoding.stops())) {
      while (answer.hasNext()) {
        out.print(answer.next());
        if (out.checkError()) {
          answer.cancel(); // whoever read the answer is gone
        }
      }
      out.println();
      out.flush();
      Completion completion = answer.completion();
      statistics(completion.tokens().length, start, ", " + reason(completion.finishReason()));
    }
  }

  /** Why an answer ended, for people. */
  static String reason(FinishReason reason) {
    return switch (reason) {
      case STOP -> "ended by the model";
      case LENGTH -> "cut at --max-new-tokens";
      case CONTEXT -> "cut at the model's max_position_embeddings";
      case CANCELLED -> "cancelled";
    };
  }

  /** Adapter after adapter; lines come in the prompts' order, each as soon as those before. */
  private void answerAll(List<Prompt> prompts) {
    long start = System.nanoTime();
    String[] lines = new String[prompts.size()];
    int[] printed = {0};
    long[] tokens = {0};
    Map<String, List<Integer>> byAdapter =
        IntStream.range(0, prompts.size())
            .boxed()
            .collect(Collectors.groupingBy(i -> prompts.get(i).adapter()));
    for (String adapter : byAdapter.keySet().stream().sorted().toList()) {
      List<Integer> own = byAdapter.get(adapter);
      loaded.select(adapter);
      loaded
          .generator()
          .complete(
              own.stream().map(i -> prompts.get(i).ids()).toList(),
              files.settings(decoding, adapter),
              (completion, index) -> {
                int i = own.get(index);
                tokens[0] += completion.tokens().length;
                lines[i] = line(prompts.get(i), completion);
                while (printed[0] < lines.length && lines[printed[0]] != null) {
                  out.println(lines[printed[0]++]);
                  out.flush();
                }
              });
    }
    statistics(tokens[0], start, ", " + prompts.size() + " prompts");
  }

  private String line(Prompt prompt, Completion completion) {
    ObjectNode json = JSON.createObjectNode();
    json.put("prompt", prompt.request());
    json.put("answer", AnswerText.of(files.tokenizer(), decoding.stops(), completion.tokens()));
    if (!request.model().adapters().isEmpty()) {
      json.put("adapter", prompt.adapter());
    }
    json.put("tokens", completion.tokens().length);
    json.put("finish_reason", completion.finishReason().name().toLowerCase(Locale.ROOT));
    try {
      return JSON.writeValueAsString(json);
    } catch (JsonProcessingException e) {
      throw new IllegalStateException(e);
    }
  }

  private void statistics(long tokens, long start, String more) {
    double seconds = (System.nanoTime() - start) / 1e9;
    err.printf(
        Locale.ROOT,
        "%d tokens in %.1f s, %.1f tokens/s%s%n",
        tokens,
        seconds,
        tokens / seconds,
        more);
    err.flush();
  }

  private void note(String line) {
    err.println("note: " + line);
    err.flush();
  }
}
