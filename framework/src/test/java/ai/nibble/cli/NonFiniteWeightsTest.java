package ai.nibble.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.TinyChat;
import ai.nibble.cli.Refusals.Reader;
import ai.nibble.gguf.GgufFile;
import ai.nibble.model.ChangedCheckpoint;
import ai.nibble.safetensors.SafetensorsType;
import ai.nibble.tensor.Bfloat16;
import ai.nibble.tensor.Float16;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** NaN and infinite values in a base's weights, in every type that files have. */
class NonFiniteWeightsTest {
  private static final String EMBEDDING = "model.embed_tokens.weight";
  private static final String DOWN = "model.layers.1.mlp.down_proj.weight";
  private static final String NORM = "model.layers.0.input_layernorm.weight";

  /** A row of the embedding that no prompt of these tests has: the byte 1. */
  private static final int UNUSED = 1;

  private static final int WIDTH = 12;

  @TempDir Path temp;
  private Path plain;
  private Path base;
  private Refusals refusals;

  @BeforeEach
  void writeABase() throws IOException {
    plain = TinyChat.write(temp.resolve("plain"));
    base = temp.resolve("base");
    refusals = new Refusals(temp);
  }

  /** The base with all its tensors in a type, one value of one of them replaced. */
  private void write(SafetensorsType type, String tensor, int at, double value) throws IOException {
    ChangedCheckpoint checkpoint = ChangedCheckpoint.of(plain);
    for (String name : checkpoint.names()) {
      ByteBuffer from = checkpoint.bytes(name);
      int count = from.limit() / Float.BYTES;
      ByteBuffer to = ByteBuffer.allocate(count * type.bits() / 8).order(ByteOrder.LITTLE_ENDIAN);
      for (int i = 0; i < count; i++) {
        double x = name.equals(tensor) && i == at ? value : from.getFloat(4 * i);
        switch (type) {
          case F64 -> to.putDouble(x);
          case F32 -> to.putFloat((float) x);
          case F16 -> to.putShort(Float16.of((float) x));
          default -> to.putShort(Bfloat16.of((float) x));
        }
      }
      checkpoint.put(name, type, checkpoint.spec(name).shape(), to.array());
    }
    checkpoint.write(base);
  }

  private static String holds(String tensor, int at, String value) {
    return "tensor '%s' holds %s at [%d, %d], expected finite weights: fetch the file again"
        .formatted(tensor, value, at / WIDTH, at % WIDTH);
  }

  @ParameterizedTest
  @CsvSource({
    "F64, NaN", "F64, Infinity", "F64, -Infinity",
    "F32, NaN", "F32, Infinity", "F32, -Infinity",
    "F16, NaN", "F16, Infinity", "F16, -Infinity",
    "BF16, NaN", "BF16, Infinity", "BF16, -Infinity"
  })
  void aPlainTensorIsNamedWithTheValueAndItsPlace(SafetensorsType type, String value)
      throws IOException {
    double x = Double.parseDouble(value);
    int at = UNUSED * WIDTH + 7;
    write(type, EMBEDDING, at, x);
    refusals.each(
        List.of(Reader.GENERATE, Reader.TRAIN), base, base + ": " + holds(EMBEDDING, at, value));
    write(type, NORM, 5, x);
    refusals.each(
        List.of(Reader.GENERATE, Reader.TRAIN), base, base + ": " + holds(NORM, 5, value));
    // what is written is finite, whatever it is read from
    List<String> lines = refusals.of(refusals.reading(Reader.QUANTIZE, base));
    assertTrue(
        lines.get(0).startsWith(base + ": tensor '" + NORM + "' holds " + value), lines + "");
  }

  /** Codes have no such value: it would make its whole block or row one. */
  @ParameterizedTest
  @CsvSource({"NaN", "Infinity", "-Infinity"})
  void aTensorThatIsQuantisedIsNamedInEveryFormat(String value) throws IOException {
    write(SafetensorsType.BF16, DOWN, 23, Double.parseDouble(value)); // [12, 20]
    for (String[] more :
        new String[][] {
          {"--load-in-4bit"}, {"--load-in-8bit"}, {"--load-in-4bit", "--allow-nonfinite-weights"}
        }) {
      List<String> lines = refusals.of(refusals.reading(Reader.GENERATE, base, more));
      assertTrue(lines.get(0).startsWith(base + ": "), lines.toString());
      assertTrue(lines.get(0).contains("'" + DOWN + "'"), lines.toString());
      assertTrue(lines.get(0).contains(" holds " + value + " at "), lines.toString());
      assertTrue(lines.get(0).contains("expected finite values"), lines.toString());
    }
    for (String type : List.of("nf4", "fp4", "int8")) {
      List<String> lines = refusals.of(refusals.reading(Reader.QUANTIZE, base, "--type", type));
      assertTrue(
          lines.get(0).startsWith(base + ": ") && lines.get(0).contains("'" + DOWN + "'"),
          lines.toString());
    }
    String[] qlora = {"train", refusals.recipe(base, "qlora").toString()};
    assertTrue(refusals.of(qlora).get(0).contains("'" + DOWN + "'"));
  }

  /** float16 has numbers to 65504; what is more became infinite when the file was made. */
  @Test
  void anOverflowOfFloat16IsAnInfinity() throws IOException {
    write(SafetensorsType.F16, EMBEDDING, 0, 70_000);
    refusals.each(List.of(Reader.GENERATE), base, holds(EMBEDDING, 0, "Infinity"));
  }

  @ParameterizedTest
  @CsvSource({
    "f32, NaN",
    "f32, Infinity",
    "f16, NaN",
    "f16, -Infinity",
    "bf16, NaN",
    "bf16, Infinity"
  })
  void theSameIsSaidOfAGgufFile(String type, String value) throws IOException {
    Path model = temp.resolve("plain/model.gguf");
    String[] export = {"export", "--model", plain + "", "--type", type, "--pre", "gpt-2", "--out"};
    String[] args = Arrays.copyOf(export, export.length + 1);
    args[export.length] = model.toString();
    assertEquals(0, refusals.run(args), refusals.said());
    Files.delete(plain.resolve("model.safetensors"));
    assertEquals(0, refusals.run(refusals.reading(Reader.GENERATE, model)), refusals.said());
    int at = UNUSED * WIDTH + 7;
    ByteBuffer bytes = ByteBuffer.wrap(Files.readAllBytes(model)).order(ByteOrder.LITTLE_ENDIAN);
    int position;
    try (GgufFile file = GgufFile.open(model)) {
      assertEquals(type.toUpperCase(), file.tensor("token_embd.weight").type().name());
      position = (int) file.tensor("token_embd.weight").position();
    }
    float x = Float.parseFloat(value);
    switch (type) {
      case "f32" -> bytes.putFloat(position + 4 * at, x);
      case "f16" -> bytes.putShort(position + 2 * at, Float16.of(x));
      default -> bytes.putShort(position + 2 * at, Bfloat16.of(x));
    }
    Files.write(model, bytes.array());
    refusals.each(
        List.of(Reader.GENERATE, Reader.TRAIN), model, model + ": " + holds(EMBEDDING, at, value));
  }

  /** A scale of a block that is no number makes all its weights none. */
  @ParameterizedTest
  @ValueSource(shorts = {0x7E00, 0x7C00, (short) 0xFC00})
  void aBlockOfAGgufFileWhoseScaleIsNoNumberIsRefused(short scale) throws IOException {
    Path wide = ChangedCheckpoint.named("base").withTokens().write(temp.resolve("wide"));
    Path model = wide.resolve("model.gguf");
    assertEquals(
        0,
        refusals.run(
            "export",
            "--model",
            wide + "",
            "--type",
            "q8_0",
            "--pre",
            "gpt-2",
            "--out",
            model + ""),
        refusals.said());
    Files.delete(wide.resolve("model.safetensors"));
    ByteBuffer bytes = ByteBuffer.wrap(Files.readAllBytes(model)).order(ByteOrder.LITTLE_ENDIAN);
    try (GgufFile file = GgufFile.open(model)) {
      assertEquals("Q8_0", file.tensor("blk.1.ffn_up.weight").type().name());
      // [96, 64], blocks of 34 bytes for 32 weights: that of row 3 from column 32 on
      bytes.putShort((int) file.tensor("blk.1.ffn_up.weight").position() + 34 * 7, scale);
    }
    Files.write(model, bytes.array());
    refusals.each(
        List.of(Reader.GENERATE, Reader.TRAIN, Reader.QUANTIZE),
        model,
        model + ": ",
        "'model.layers.1.mlp.up_proj.weight'",
        " holds ",
        "expected finite");
  }

  @Test
  void theyAreTakenWhereThatIsAskedForAndEachTensorIsNamed() throws IOException {
    String[] options = {"--greedy", "--max-new-tokens", "12", "--compute-dtype", "float32"};
    assertEquals(0, refusals.run(refusals.reading(Reader.GENERATE, plain, options)));
    String expected = refusals.said().lines().findFirst().orElseThrow();
    write(SafetensorsType.F32, EMBEDDING, UNUSED * WIDTH + 7, Double.NaN);
    assertTrue(
        refusals
            .of(refusals.reading(Reader.GENERATE, base, options))
            .get(0)
            .endsWith(
                "; to compute with them as they are, set allow_nonfinite_weights: true (generate,"
                    + " chat: --allow-nonfinite-weights)"));
    String[] allowed = Arrays.copyOf(options, options.length + 1);
    allowed[options.length] = "--allow-nonfinite-weights";
    String log = logged(() -> refusals.run(refusals.reading(Reader.GENERATE, base, allowed)));
    assertEquals(expected, refusals.said().lines().findFirst().orElseThrow());
    String line =
        base
            + ": tensor '"
            + EMBEDDING
            + "' holds NaN at [1, 7], taken as it is: what is computed with it is not a number";
    assertEquals(1, log.lines().filter(l -> l.contains(line)).count(), log);
    // a base that is trained on beside it, and one that is trained itself
    Path recipe = refusals.recipe(base, "lora");
    String[] train = {"train", recipe + "", "--set", "allow_nonfinite_weights=true"};
    log = logged(() -> refusals.run(train));
    assertTrue(log.contains(line), log);
    assertTrue(Files.exists(refusals.output().resolve("adapter_model.safetensors")));
    assertFalse(refusals.said().contains("error"), refusals.said());
    List<String> none =
        refusals.of(
            "train",
            refusals.recipe(base, "none") + "",
            "--set",
            "allow_nonfinite_weights=true",
            "--set",
            "output_dir=" + temp.resolve("other"));
    assertEquals(
        "--set allow_nonfinite_weights=true: 'allow_nonfinite_weights' is 'true', but adapter none"
            + " trains all weights, which must be numbers: remove it, or train an adapter",
        none.get(0));
  }

  private interface Run {
    int run() throws IOException;
  }

  /** What goes to standard error meanwhile, where the log is. */
  private String logged(Run command) throws IOException {
    PrintStream before = System.err;
    ByteArrayOutputStream log = new ByteArrayOutputStream();
    System.setErr(new PrintStream(log, true, StandardCharsets.UTF_8));
    try {
      assertEquals(0, command.run(), refusals.said());
    } finally {
      System.setErr(before);
    }
    return log.toString(StandardCharsets.UTF_8);
  }
}
