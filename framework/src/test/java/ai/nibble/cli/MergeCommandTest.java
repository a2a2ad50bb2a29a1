package ai.nibble.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.TinyChat;
import ai.nibble.export.merge.TinyAdapter;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import picocli.CommandLine;

/** The commands that merge and extract: options, exit codes, what is said where. */
final class MergeCommandTest {
  @TempDir Path temp;
  private final StringWriter out = new StringWriter();
  private final StringWriter err = new StringWriter();
  private Path base;
  private Path adapter;

  @BeforeEach
  void writeABaseAndAnAdapter() throws IOException {
    base = TinyChat.write(temp.resolve("base"));
    TinyAdapter tiny = TinyAdapter.plain(1);
    tiny.fields.put("base_model_name_or_path", "\"" + base + "\"");
    adapter = tiny.write(temp.resolve("a=b"));
    recipe("nf4");
  }

  private void recipe(String type) throws IOException {
    Files.writeString(
        adapter.resolve("recipe.yaml"),
        """
        base_model: %s
        adapter: qlora
        bnb_4bit_quant_type: %s
        bnb_4bit_use_double_quant: false
        """
            .formatted(base, type));
  }

  private int nibble(String... args) {
    out.getBuffer().setLength(0);
    err.getBuffer().setLength(0);
    CommandLine command =
        Nibble.commandLine((recipe, writer) -> 0, (request, out, err) -> {})
            .setOut(new PrintWriter(out))
            .setErr(new PrintWriter(err));
    return Nibble.run(command, args);
  }

  private String path(String name) {
    return temp.resolve(name).toString();
  }

  @Test
  void anAdapterIsMergedOntoTheWeightsItWasTrainedOn() throws IOException {
    int exit = nibble("merge", "--adapter", adapter.toString(), "--output", path("merged"));
    assertEquals(0, exit, err.toString());
    assertTrue(err.toString().startsWith("note: base model " + base), err.toString());
    String[] lines = out.toString().split("\\R");
    assertTrue(
        lines[0].matches(
            "4 tensors changed; 1 file, [\\d.]+ MB in float32; base weights: nf4, blocks of 64,"
                + " dequantised to float32"),
        lines[0]);
    assertTrue(
        lines[1].matches(
            "proof, base and adapter against merged, \\d+ positions: largest logit difference \\S+,"
                + " mean KL \\S+ \\(bound: largest logit difference \\S+, mean KL \\S+\\)"),
        lines[1]);
    assertTrue(lines[2].startsWith("the adapter's own effect: largest logit"), lines[2]);
    assertTrue(lines[3].matches("peak memory \\d+ MB"), lines[3]);
    assertTrue(Files.exists(temp.resolve("merged/tokenizer.json")));

    exit =
        nibble(
            "extract",
            "--model",
            base.toString(),
            "--base-weights",
            "nf4",
            "--tuned",
            path("merged"),
            "--rank",
            "2",
            "--output",
            path("extracted"));
    assertEquals(0, exit, err.toString());
    assertTrue(
        out.toString().endsWith("4 modules, rank 2: 100.00 % of the difference explained\n"),
        out.toString());

    exit =
        nibble(
            "merge",
            "--undo",
            "--model",
            path("merged"),
            "--adapter",
            adapter.toString(),
            "--output",
            path("undone"));
    assertEquals(0, exit, err.toString());
    assertTrue(out.toString().contains("un-merged: a weight is what it was but for half a unit"));
    assertTrue(err.toString().contains("those come back, not the original ones"), err.toString());
  }

  @Test
  void originalWeightsAndWeightsOfAdaptersAreOptions() {
    int exit =
        nibble(
            "merge",
            "--adapter",
            adapter + "=0.5",
            "--base-weights",
            "original",
            "--dtype",
            "bfloat16",
            "--max-shard-size",
            "1MB",
            "--output",
            path("merged"));
    assertEquals(0, exit, err.toString());
    assertTrue(out.toString().contains("in bfloat16; base weights: original"), out.toString());
  }

  /** What quantisation took from the base would be added to weights that still have it. */
  @Test
  void anAdapterThatMendsQuantizationIsNotMergedOntoOtherWeights() throws IOException {
    Path recipe = adapter.resolve("recipe.yaml");
    Files.writeString(recipe, "init_lora_weights: loftq\n", StandardOpenOption.APPEND);
    for (String weights : List.of("original", "fp4")) {
      int exit =
          nibble(
              "merge",
              "--adapter",
              adapter.toString(),
              "--base-weights",
              weights,
              "--output",
              path("merged"));
      assertEquals(2, exit);
      assertTrue(err.toString().contains("began with init_lora_weights: loftq"), err.toString());
      assertTrue(err.toString().contains("leave out --base-weights"), err.toString());
    }
    assertEquals(0, nibble("merge", "--adapter", adapter.toString(), "--output", path("merged")));
  }

  @Test
  void anAdapterWithoutARecipeIsMergedOntoWhatIsStoredAndThatIsSaid() throws IOException {
    Files.delete(adapter.resolve("recipe.yaml"));
    assertEquals(0, nibble("merge", "--adapter", adapter.toString(), "--output", path("merged")));
    assertTrue(
        err.toString()
            .contains(
                "has no recipe.yaml that says how its base was held: taken as stored; if it was"
                    + " trained on quantised weights, say which with --base-weights"
                    + " nf4|nf4+double|fp4|fp4+double|int8"),
        err.toString());
  }

  @Test
  void adaptersOfDifferentWeightsNeedAChoice() throws IOException {
    Path other = TinyAdapter.plain(2).write(temp.resolve("other"));
    Files.writeString(
        other.resolve("recipe.yaml"),
        Files.readString(adapter.resolve("recipe.yaml")).replace("nf4", "fp4"));
    int exit =
        nibble(
            "merge",
            "--adapter",
            adapter.toString(),
            "--adapter",
            other.toString(),
            "--output",
            path("merged"));
    assertEquals(2, exit);
    assertTrue(
        err.toString()
            .contains("were trained on different weights, " + adapter + " on nf4, blocks"),
        err.toString());
    assertFalse(Files.exists(temp.resolve("merged")));
  }

  @Test
  void badOptionsAreOneLine() {
    String[][] cases = {
      {"--base-weights is 'int3', expected one of [trained, original, ", "--base-weights", "int3"},
      {"--dtype is 'int8', expected one of [bfloat16, float16, float32]", "--dtype", "int8"},
      {"--max-shard-size is '5', expected a number and MB or GB", "--max-shard-size", "5"},
      {"--max-shard-size is '0GB', expected a number and MB or GB", "--max-shard-size", "0GB"},
      {"Missing required option: --model, the merged model, with --undo", "--undo"},
    };
    for (String[] c : cases) {
      String[] args = new String[c.length + 4];
      args[0] = "merge";
      args[1] = "--adapter";
      args[2] = adapter.toString();
      args[3] = "--output";
      args[4] = path("merged");
      System.arraycopy(c, 1, args, 5, c.length - 1);
      assertEquals(2, nibble(args), c[0]);
      assertTrue(err.toString().startsWith("error: " + c[0]), err.toString());
      assertEquals(2, err.toString().lines().count(), err.toString());
      assertFalse(Files.exists(temp.resolve("merged")));
    }
    assertEquals(2, nibble("merge", "--adapter", path("no") + "=much", "--output", path("merged")));
    assertTrue(err.toString().contains("whose weight 'much' is no number"), err.toString());
    assertEquals(2, nibble("merge", "--adapter", adapter + "=0", "--output", path("merged")));
    assertTrue(err.toString().contains("its weight is 0.0, expected a number other than 0"));
  }
}
