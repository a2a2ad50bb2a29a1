package ai.nibble.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.TinyChat;
import ai.nibble.data.SmallTokenizer;
import ai.nibble.lora.RandomAdapter;
import ai.nibble.model.CausalLm;
import ai.nibble.model.LoadOptions;
import ai.nibble.recipe.RecipeLoader;
import ai.nibble.recipe.RecipeRun;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Tensor;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintStream;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** {@code nibble generate} on files, from options to answers. */
final class GenerationTest {
  @TempDir Path temp;
  private final StringWriter out = new StringWriter();
  private final StringWriter err = new StringWriter();
  private long liveBefore;

  @BeforeEach
  void countTensors() {
    liveBefore = Tensor.live();
  }

  @AfterEach
  void everyTensorIsClosed() {
    assertEquals(liveBefore, Tensor.live());
  }

  private int nibble(String... args) {
    out.getBuffer().setLength(0);
    err.getBuffer().setLength(0);
    return Nibble.run(
        Nibble.commandLine((recipe, writer) -> 0, Generation::run)
            .setOut(new PrintWriter(out))
            .setErr(new PrintWriter(err)),
        args);
  }

  /** Trains until "a" is answered with "b". */
  private Path trained(String... more) throws IOException {
    TinyChat.write(temp.resolve("chat"));
    Files.writeString(
        temp.resolve("rows.jsonl"),
        "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"},"
            + " {\"role\": \"assistant\", \"content\": \"b\"}]}\n");
    Path recipe = temp.resolve("a.yaml");
    Files.writeString(
        recipe,
        "base_model: chat\ndatasets: [{path: rows.jsonl, type: messages}]\nlearning_rate: 0.02\n"
            + "lora_r: 4\nlora_dropout: 0\nbnb_4bit_compute_dtype: float32\nsequence_len: 64\nmax_steps: 40\noutput_dir: out\n"
            + String.join("\n", more));
    PrintStream nowhere = new PrintStream(OutputStream.nullOutputStream());
    new RecipeRun(RecipeLoader.load(recipe, List.of()), nowhere, false).run();
    return temp.resolve("out");
  }

  @Test
  void anAdapterAnswersOnTheBaseItWasTrainedOn() throws IOException {
    Path adapter = trained();
    assertEquals(0, nibble("generate", "--adapter", adapter.toString(), "--prompt", "a"));
    assertEquals("b" + System.lineSeparator(), out.toString());
    String said = err.toString();
    assertTrue(said.contains("note: base model " + temp.resolve("chat")), said);
    assertTrue(said.contains("note: base weights in nf4, blocks of 64, double quantisation"), said);
    assertTrue(said.strip().matches("(?s).*\\R1 tokens in .* tokens/s, ended by the model"), said);

    Path prompts = temp.resolve("prompts.jsonl");
    Files.writeString(
        prompts,
        "{\"prompt\": \"a\"}\n{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}]}\n");
    assertEquals(
        0, nibble("generate", "--adapter", adapter.toString(), "--prompts", prompts.toString()));
    List<String> lines = out.toString().lines().toList();
    assertEquals(2, lines.size());
    for (String line : lines) {
      JsonNode json = new ObjectMapper().readTree(line);
      assertEquals("b", json.get("answer").asText());
      assertEquals("a", json.get("prompt").asText());
      assertEquals("stop", json.get("finish_reason").asText());
    }

    Files.move(temp.resolve("chat"), temp.resolve("moved"));
    assertEquals(2, nibble("generate", "--adapter", adapter.toString(), "--prompt", "a"));
    assertTrue(err.toString().contains("is not there: give it with --model DIR"), err.toString());
    String moved = temp.resolve("moved").toString();
    assertEquals(
        0, nibble("generate", "--adapter", adapter.toString(), "--model", moved, "--prompt", "a"));
    assertEquals("b", out.toString().strip());
  }

  @Test
  void anAdapterIsPromptedAndComputedAsItWasTrained() throws IOException {
    Path own = temp.resolve("own.jinja");
    Files.writeString(own, SmallTokenizer.CHATML.replace("<|im_start|>", "<|im_start|>= "));
    String template = Files.readString(own);
    Path adapter = trained("chat_template: own.jinja\n");
    Files.delete(own);
    assertEquals(template, Files.readString(adapter.resolve("chat_template.jinja")));
    assertEquals(0, nibble("generate", "--adapter", adapter.toString(), "--prompt", "a"));
    assertEquals("b", out.toString().strip());
    String said = err.toString();
    assertTrue(said.contains("note: compute dtype float32, as the adapter was trained"), said);
  }

  @Test
  void whatTheModelCannotGoOnFromIsSaidBeforeItsWeightsAreRead() throws IOException {
    Path chat = TinyChat.write(temp.resolve("chat"));
    Files.delete(chat.resolve("model.safetensors"));
    String model = chat.toString();
    Path prompts = temp.resolve("p.jsonl");
    Files.writeString(prompts, "{\"prompt\": \"a\"}\n{\"prompt\": \"" + "x".repeat(600) + "\"}\n");
    assertEquals(2, nibble("generate", "--model", model, "--prompts", prompts.toString()));
    assertTrue(err.toString().startsWith("error: " + prompts + ":2: the prompt has 6"));
    Path config = chat.resolve("config.json");
    Files.writeString(config, Files.readString(config).replace("259", "258"));
    assertEquals(2, nibble("generate", "--model", model, "--prompt", "a"));
    assertTrue(
        err.toString().startsWith("error: the tokenizer gives token id 258, but"), err.toString());
  }

  @Test
  void aBaseGoesOnFromRawTextUpToTheLimit() throws IOException {
    String model = TinyChat.write(temp.resolve("chat")).toString();
    int code =
        nibble("generate", "--model", model, "--raw", "--prompt", "xyz", "--max-new-tokens", "3");
    assertEquals(0, code, err.toString());
    assertTrue(err.toString().contains("tokens/s"), err.toString());
  }

  @Test
  void whatTheFilesShowIsOneLineAndExit2() throws IOException {
    String model = TinyChat.write(temp.resolve("chat")).toString();
    assertEquals(2, nibble("generate", "--model", model, "--prompts", temp + "/none.jsonl"));
    Path prompts = temp.resolve("p.jsonl");
    Files.writeString(prompts, "{\"prompt\": \"a\"}\n{\"question\": \"a\"}\n");
    assertEquals(2, nibble("generate", "--model", model, "--prompts", prompts.toString()));
    assertTrue(
        err.toString()
            .contains("p.jsonl:2: expected 'prompt', 'text' or 'messages', the row has [question]"),
        err.toString());
    assertEquals(1, err.toString().lines().filter(l -> l.startsWith("error: ")).count());
  }

  /** Not the tokenizer of the directory above, nor a file of an adapter that is not there. */
  @Test
  void aModelOrAdapterThatIsNotThereIsNamedItself() throws IOException {
    String model = TinyChat.write(temp.resolve("chat")).toString();
    String none = temp + "/none";
    String noModel =
        "error: "
            + none
            + ": there is no such model, expected a directory with config.json and"
            + " safetensors, or a .gguf file: check the path\n";
    String noAdapter =
        "error: "
            + none
            + ": there is no such adapter, expected a directory with"
            + " adapter_config.json, such as the output_dir of a training run: check the path\n";
    for (String command : List.of("generate", "chat", "evaluate")) {
      List<String> more =
          switch (command) {
            case "generate" -> List.of("--prompt", "a");
            case "evaluate" -> List.of("--task", "perplexity=" + model + "/config.json");
            default -> List.of();
          };
      for (List<String> given :
          List.of(
              List.of("--model", none),
              List.of("--adapter", none),
              List.of("--model", model, "--adapter", none))) {
        List<String> args = new ArrayList<>(List.of(command));
        args.addAll(given);
        args.addAll(more);
        assertEquals(2, nibble(args.toArray(String[]::new)), args.toString());
        assertEquals(given.contains("--adapter") ? noAdapter : noModel, err.toString());
      }
    }
    String file = model + "/config.json";
    assertEquals(2, nibble("generate", "--model", file, "--prompt", "a"));
    assertTrue(err.toString().startsWith("error: " + file + ": is a file, expected"), "" + err);
  }

  /** A model, and two adapters that change its answers. */
  private Path withAdapters() throws IOException {
    Path chat = TinyChat.write(temp.resolve("chat"));
    try (CausalLm model = CausalLm.load(chat, LoadOptions.unquantized(DType.FLOAT32))) {
      RandomAdapter.save(model, 2, 1, temp.resolve("one"));
      RandomAdapter.save(model, 4, 2, temp.resolve("two"));
    }
    return chat;
  }

  private List<JsonNode> answers(String... args) throws IOException {
    assertEquals(0, nibble(args), err.toString());
    List<JsonNode> answers = new ArrayList<>();
    for (String line : out.toString().lines().toList()) {
      answers.add(new ObjectMapper().readTree(line));
    }
    return answers;
  }

  @Test
  void eachPromptIsAnsweredByItsAdapterInTheFilesOrder() throws IOException {
    String model = withAdapters().toString();
    Path prompts = temp.resolve("p.jsonl");
    Files.writeString(
        prompts,
        """
        {"prompt": "hello"}
        {"prompt": "hello", "adapter": "off"}
        {"prompt": "hello", "adapter": "b"}
        {"prompt": "hello", "adapter": "a"}
        """);
    String[] common = {"--model", model, "--compute-dtype", "float32", "--max-new-tokens", "6"};
    List<String> both = new ArrayList<>(List.of("generate", "--prompts", prompts.toString()));
    both.addAll(List.of("--adapter", "a=" + temp.resolve("one")));
    both.addAll(List.of("--adapter", "b=" + temp.resolve("two")));
    both.addAll(List.of(common));
    List<JsonNode> answers = answers(both.toArray(String[]::new));
    assertEquals(
        List.of("a", "off", "b", "a"),
        answers.stream().map(a -> a.get("adapter").asText()).toList());
    Map<String, String> alone = new LinkedHashMap<>();
    for (String name : List.of("off", "a", "b")) {
      List<String> args = new ArrayList<>(List.of("generate", "--json", "--prompt", "hello"));
      args.addAll(List.of(common));
      if (!name.equals("off")) {
        args.addAll(
            List.of("--adapter", temp.resolve(name.equals("a") ? "one" : "two").toString()));
      }
      alone.put(name, answers(args.toArray(String[]::new)).get(0).get("answer").asText());
    }
    assertEquals(3, alone.values().stream().distinct().count(), alone.toString());
    for (JsonNode answer : answers) {
      assertEquals(alone.get(answer.get("adapter").asText()), answer.get("answer").asText());
    }
    both.addAll(List.of("--use", "b"));
    assertEquals(
        alone.get("b"), answers(both.toArray(String[]::new)).get(0).get("answer").asText());

    Files.writeString(prompts, "{\"prompt\": \"a\"}\n{\"prompt\": \"a\", \"adapter\": \"c\"}\n");
    assertEquals(2, nibble(both.toArray(String[]::new)));
    assertEquals(
        "error: " + prompts + ":2: no adapter 'c', expected one of [a, b, off]",
        err.toString().strip());
  }

  @Test
  void theSeedDecidesWhatIsDrawnAndALineSaysWhatCameFromWhere() throws IOException {
    Path chat = TinyChat.write(temp.resolve("chat"));
    Files.writeString(
        chat.resolve("generation_config.json"),
        "{\"do_sample\": true, \"temperature\": 0.9, \"max_new_tokens\": 7, \"num_beams\": 2}");
    String[] args = {"generate", "--model", chat.toString(), "--prompt", "a", "--json"};
    String[] seeded = {
      "generate", "--model", chat + "", "--prompt", "a", "--json", "--seed", "3", "--top-p", "0.9"
    };
    assertEquals(7, answers(seeded).get(0).get("tokens").asInt());
    String first = out.toString();
    String said = err.toString();
    assertTrue(
        said.contains(
            "note: sampling: temperature 0.9 (generation_config.json), top_k 50 (default),"
                + " top_p 0.9 (--top-p), seed 3 (--seed), max_new_tokens 7 (generation_config.json)"),
        said);
    assertTrue(said.contains("note: generation_config.json: 'num_beams' is 2, not followed"), said);
    answers(seeded);
    assertEquals(first, out.toString());
    answers(args);
    assertTrue(err.toString().contains(" (random)"), err.toString());
    seeded[7] = "4";
    answers(seeded);
    assertTrue(!first.equals(out.toString()), "another seed draws something else");

    Files.writeString(
        chat.resolve("generation_config.json"), "{\"do_sample\": true, \"top_p\": 2}");
    assertEquals(2, nibble(args));
    assertEquals(
        "error: "
            + chat.resolve("generation_config.json")
            + ": 'top_p' is 2, expected a number above 0 and up to 1 (1: off)",
        err.toString().strip());
    assertEquals(0, nibble("generate", "--model", chat.toString(), "--prompt", "a", "--greedy"));
    assertTrue(err.toString().contains("note: greedy decoding: max_new_tokens 256 (default)"));
  }

  @Test
  void aStopStringEndsTheAnswerBeforeIt() throws IOException {
    String model = TinyChat.write(temp.resolve("chat")).toString();
    String[] args = {
      "generate",
      "--model",
      model,
      "--raw",
      "--prompt",
      "xyz",
      "--max-new-tokens",
      "40",
      "--seed",
      "1",
      "--temperature",
      "2"
    };
    assertEquals(0, nibble(args));
    String all = out.toString().strip();
    String stop = all.substring(5, 7);
    String[] stopped = java.util.Arrays.copyOf(args, args.length + 2);
    stopped[args.length] = "--stop";
    stopped[args.length + 1] = stop;
    assertEquals(0, nibble(stopped));
    assertEquals(all.substring(0, all.indexOf(stop)), out.toString().strip());
    assertTrue(err.toString().contains("ended by the model"), err.toString());
  }
}
