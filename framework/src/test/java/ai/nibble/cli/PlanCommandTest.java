package ai.nibble.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.TinyChat;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.PrintWriter;
import java.io.RandomAccessFile;
import java.io.StringWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import picocli.CommandLine;

class PlanCommandTest {
  private static final String ROW =
      "{\"messages\": [{\"role\": \"user\", \"content\": \"abc\"},"
          + " {\"role\": \"assistant\", \"content\": \"def\"}]}\n";

  @TempDir Path temp;
  private final StringWriter out = new StringWriter();
  private final StringWriter err = new StringWriter();

  @BeforeEach
  void writeARecipe() throws Exception {
    TinyChat.write(temp.resolve("chat"));
    Files.writeString(temp.resolve("rows.jsonl"), ROW.repeat(8));
    Files.writeString(
        temp.resolve("a.yaml"),
        "base_model: chat\ndatasets: [{path: rows.jsonl, type: messages}]\nlearning_rate: 0.01\n"
            + "sequence_len: 64\nmax_steps: 1\nlora_r: 4\noutput_dir: out\nmicro_batch_size: 4\n"
            + "val_set_size: 2\n");
  }

  private int nibble(String... args) {
    List<String> all = new ArrayList<>(List.of("plan", "--config", temp.resolve("a.yaml") + ""));
    all.addAll(List.of(args));
    return run(all.toArray(String[]::new));
  }

  private int run(String... args) {
    CommandLine command =
        Nibble.commandLine((recipe, writer) -> 0, (request, o, e) -> {})
            .setOut(new PrintWriter(out))
            .setErr(new PrintWriter(err));
    return Nibble.run(command, args);
  }

  @Test
  void aPlanHasAllPhasesAndAllWaysOfCheckpointing() throws Exception {
    assertEquals(0, nibble("--set", "device_map=cpu"), err.toString());
    String text = out.toString();
    assertTrue(text.contains("load      train   evaluate       save      merge\n"), text);
    for (String mode : List.of("none", "selective", "partial", "block")) {
      assertTrue(text.contains("\ngradient_checkpointing: " + mode), text);
    }
    assertFalse(text.contains("offload"), "a CPU has nowhere to put things");
    assertTrue(text.contains("the largest micro-batch: 4 rows, "), text);
    assertTrue(text.endsWith("\nfits\n"), text);
    assertFalse(Files.exists(temp.resolve("out")));
  }

  @Test
  void layersThatKeepTheirWeightsDequantisedAreShown() throws Exception {
    assertEquals(0, nibble("--device-memory", "80GiB"), err.toString());
    String text = out.toString();
    assertTrue(text.contains("\nweights: kept dequantised  "), text);
    assertTrue(text.contains("\nkept dequantised: model.layers.0 to model.layers.1\n"), text);
    out.getBuffer().setLength(0);
    assertEquals(0, nibble("--device-memory", "80GiB", "--json"), err.toString());
    JsonNode plan = new ObjectMapper().readTree(out.toString());
    assertEquals("[0,1]", plan.get("kept_dequantized_layers").toString());
    long kept = plan.get("kept_dequantized_bytes").asLong();
    assertTrue(kept > 0);
    assertEquals(kept, plan.at("/phases/train/kept_weights").asLong());
    out.getBuffer().setLength(0);
    String none = "keep_dequantized_layers=0";
    assertEquals(0, nibble("--device-memory", "80GiB", "--set", none), err.toString());
    assertFalse(out.toString().contains("dequantised"), out.toString());
  }

  @Test
  void whatTheDiskHasNoRoomForIsPlannedAndRefused() throws Exception {
    String[] sets = {"--set", "device_map=cpu", "--set", "save_steps=1"};
    List<String> all = new ArrayList<>(List.of(sets));
    all.addAll(List.of("--set", "max_steps=1000000000"));
    assertEquals(2, nibble(all.toArray(String[]::new)), err.toString());
    assertTrue(out.toString().contains("\noutput_dir: about "), out.toString());
    assertTrue(err.toString().contains("whose file system has not the room"), err.toString());
    all.addAll(List.of("--set", "save_total_limit=2", "--json"));
    out.getBuffer().setLength(0);
    assertEquals(0, nibble(all.toArray(String[]::new)), err.toString());
    JsonNode disk = new ObjectMapper().readTree(out.toString()).get("disk");
    assertEquals(1_000_000_000, disk.get("checkpoints").asLong());
    assertEquals(3, disk.get("checkpoints_at_once").asLong());
    long checkpoint = disk.get("checkpoint_bytes").asLong();
    long result = disk.get("result_bytes").asLong();
    assertEquals(3 * checkpoint + result, disk.get("needed_bytes").asLong());
    assertEquals(4 * result, checkpoint, "the adapter, its values again and two moments");
    assertTrue(disk.get("fits").asBoolean());
  }

  @Test
  void theRecipeIsNamedWithoutAnOptionAsWell() throws Exception {
    int code = run("plan", temp.resolve("a.yaml").toString(), "--set", "device_map=cpu");
    assertEquals(0, code, err.toString());
    assertTrue(out.toString().contains("\ngradient_checkpointing: none"), out.toString());
    assertEquals(2, run("plan", "--set", "device_map=cpu"));
    assertTrue(err.toString().contains("Missing required parameter: FILE"), err.toString());
  }

  @Test
  void asJsonTheTotalIsTheSumOfItsParts() throws Exception {
    assertEquals(0, nibble("--json", "--set", "device_map=cpu"), err.toString());
    JsonNode plan = new ObjectMapper().readTree(out.toString());
    assertEquals("none", plan.get("gradient_checkpointing").asText());
    assertEquals(6, plan.get("train_rows").asInt());
    assertEquals(2, plan.get("eval_rows").asInt());
    JsonNode train = plan.get("phases").get("train");
    long sum = 0;
    for (var field : train.properties()) {
      sum += field.getKey().equals("total") ? 0 : field.getValue().asLong();
    }
    assertEquals(train.get("total").asLong(), sum);
    assertTrue(train.get("weights_4bit").asLong() > 0);
    assertTrue(plan.get("fits").asBoolean());
    assertEquals(0, plan.get("alternatives").size());
  }

  @Test
  void whatDoesNotFitIsExit1AndNamesOtherKeys() throws Exception {
    assertEquals(1, nibble("--json", "--device-memory", "64MiB"), err.toString());
    JsonNode plan = new ObjectMapper().readTree(out.toString());
    assertEquals("cuda", plan.get("device").asText());
    assertEquals("offload", plan.get("gradient_checkpointing").asText());
    assertTrue(plan.get("offloaded_bytes").asLong() > 0);
    assertFalse(plan.get("fits").asBoolean());
    List<String> settings = new ArrayList<>();
    plan.get("alternatives").forEach(a -> settings.add(a.get("setting").asText()));
    assertTrue(
        settings.contains("micro_batch_size: 2 with gradient_accumulation_steps: 2 (offload)"),
        settings.toString());
    assertTrue(settings.contains("gradient_checkpointing: none"), settings.toString());
  }

  /** Less on the GPU than with blocks, by what lies in the main memory, but for a few layers. */
  @Test
  void whatIsOffloadedIsSaid() throws Exception {
    String[] gpu = {"--device-memory", "4GiB", "--set", "gradient_checkpointing=offload"};
    assertEquals(0, nibble(gpu), err.toString());
    String text = out.toString();
    assertTrue(
        text.matches("(?s).*\noffloaded to the main memory: \\d+ KiB, page-locked\n.*"), text);
    assertTrue(text.contains("\ngradient_checkpointing: offload"), text);
  }

  @Test
  void workersAreSaid() throws Exception {
    String[] two = {"--set", "devices=2", "--set", "gradient_accumulation_steps=2"};
    List<String> all = new ArrayList<>(List.of(two));
    all.addAll(List.of("--set", "device_map=cpu"));
    assertEquals(0, nibble(all.toArray(String[]::new)), err.toString());
    assertTrue(out.toString().contains("computed on the CPU by 2 workers in "), out.toString());
    out.getBuffer().setLength(0);
    all = new ArrayList<>(List.of(two));
    all.addAll(List.of("--device-memory", "4GiB"));
    assertEquals(0, nibble(all.toArray(String[]::new)), err.toString());
    String text = out.toString();
    assertTrue(text.contains("computed on 2 GPUs, each with what follows, in bfloat16"), text);
  }

  /** No device for all of it, and each named with what is on it. */
  @Test
  void severalGpusAreFilledInTheirOrder() throws Exception {
    String mode = "gradient_checkpointing=none";
    assertEquals(0, nibble("--device-memory", "1GiB", "--json", "--set", mode), err.toString());
    JsonNode whole = new ObjectMapper().readTree(out.toString());
    assertFalse(whole.has("devices"));
    // a process takes 300 MiB of each; a tenth a plan may be off by
    long process = 300L << 20;
    long most = (long) (1.1 * (process + 0.7 * (whole.get("peak_bytes").asLong() - process)));
    out.getBuffer().setLength(0);
    String[] sizes = {"--device-memory", most + "," + most, "--json", "--set", mode};
    assertEquals(0, nibble(sizes), out.toString() + err);
    JsonNode devices = new ObjectMapper().readTree(out.toString()).get("devices");
    assertEquals(2, devices.size(), out.toString());
    List<String> modules = new ArrayList<>();
    for (JsonNode device : devices) {
      assertTrue(device.get("fits").asBoolean());
      assertTrue(
          device.get("bytes").get("total").asLong() * 1.1
              <= device.get("available_bytes").asLong());
      device.get("modules").forEach(m -> modules.add(m.asText()));
    }
    assertEquals(
        List.of("model.embed_tokens", "model.layers.0", "model.layers.1", "model.norm", "lm_head"),
        modules);
    out.getBuffer().setLength(0);
    String size = "" + most;
    assertEquals(
        0, nibble("--device-memory", size, "--device-memory", size, "--set", mode), err.toString());
    String text = out.toString();
    assertTrue(text.contains("     cuda:0     cuda:1\n"), text);
    assertTrue(text.contains("\ncuda:0: model.embed_tokens"), text);
    assertTrue(text.endsWith("\nfits\n"), text);
  }

  @Test
  void severalGpusThatAreTooSmallAreExit1() {
    assertEquals(1, nibble("--device-memory", "64MiB,64MiB"), err.toString());
    String text = out.toString();
    assertTrue(text.contains("does not fit: model.embed_tokens alone needs "), text);
    assertTrue(text.contains("cuda:0 has 64 MiB free, cuda:1 has 64 MiB free"), text);
  }

  @Test
  void aSizeThatIsNoneIsExit2() {
    assertEquals(2, nibble("--device-memory", "much"));
    assertEquals(
        "error: --device-memory is 'much', expected a size such as 24GiB\n", err.toString());
  }

  @Test
  void whatWouldStopTheRunStopsThePlan() throws Exception {
    Files.writeString(temp.resolve("rows.jsonl"), "{\"messages\": 7}\n");
    assertEquals(2, nibble());
    assertTrue(err.toString().contains("a.yaml:2:"), err.toString());
    assertTrue(err.toString().contains("rows.jsonl"), err.toString());
  }

  @Test
  void aRankAboveTheWeightsIsRefused() {
    assertEquals(2, nibble("--set", "lora_r=16", "--set", "device_map=cpu"));
    assertTrue(err.toString().contains("'lora_r' is 16 for 'model.layers.0."), err.toString());
  }

  private record Ran(int code, String out, String err) {}

  private Ran process(List<String> options, String... args) throws Exception {
    Path java = Path.of(System.getProperty("java.home"), "bin", "java");
    List<String> command = new ArrayList<>(List.of(java.toString()));
    command.addAll(options);
    command.addAll(List.of("-cp", System.getProperty("java.class.path"), Nibble.class.getName()));
    command.addAll(List.of(args));
    Path stdout = temp.resolve("stdout");
    Path stderr = temp.resolve("stderr");
    Process process =
        new ProcessBuilder(command)
            .directory(temp.toFile())
            .redirectOutput(stdout.toFile())
            .redirectError(stderr.toFile())
            .start();
    assertTrue(process.waitFor(120, TimeUnit.SECONDS));
    return new Ran(
        process.exitValue(),
        Files.readString(stdout, StandardCharsets.UTF_8),
        Files.readString(stderr, StandardCharsets.UTF_8));
  }

  /** A base of 5 TB: a file with all headers, and holes for weights. */
  private void writeALargeBase() throws Exception {
    Path config = temp.resolve("chat/config.json");
    ObjectMapper mapper = new ObjectMapper();
    ObjectNode fields = (ObjectNode) mapper.readTree(config.toFile());
    long hidden = 210_000;
    long inner = 2_000_000;
    fields.put("hidden_size", hidden).put("intermediate_size", inner);
    Files.writeString(config, fields.toString());
    long vocabulary = fields.get("vocab_size").asLong();
    Map<String, long[]> shapes = new LinkedHashMap<>();
    shapes.put("model.embed_tokens.weight", new long[] {vocabulary, hidden});
    shapes.put("lm_head.weight", new long[] {vocabulary, hidden});
    shapes.put("model.norm.weight", new long[] {hidden});
    for (int layer = 0; layer < 2; layer++) {
      String at = "model.layers." + layer + ".";
      shapes.put(at + "input_layernorm.weight", new long[] {hidden});
      shapes.put(at + "post_attention_layernorm.weight", new long[] {hidden});
      shapes.put(at + "self_attn.q_proj.weight", new long[] {24, hidden});
      shapes.put(at + "self_attn.k_proj.weight", new long[] {8, hidden});
      shapes.put(at + "self_attn.v_proj.weight", new long[] {8, hidden});
      shapes.put(at + "self_attn.o_proj.weight", new long[] {hidden, 24});
      shapes.put(at + "mlp.gate_proj.weight", new long[] {inner, hidden});
      shapes.put(at + "mlp.up_proj.weight", new long[] {inner, hidden});
      shapes.put(at + "mlp.down_proj.weight", new long[] {hidden, inner});
    }
    ObjectNode header = mapper.createObjectNode();
    long end = 0;
    for (Map.Entry<String, long[]> entry : shapes.entrySet()) {
      ObjectNode tensor = header.putObject(entry.getKey()).put("dtype", "BF16");
      long bytes = 2;
      for (long size : entry.getValue()) {
        tensor.withArray("shape").add(size);
        bytes *= size;
      }
      tensor.putArray("data_offsets").add(end).add(end + bytes);
      end += bytes;
    }
    byte[] json = header.toString().getBytes(StandardCharsets.UTF_8);
    try (RandomAccessFile file =
        new RandomAccessFile(temp.resolve("chat/model.safetensors").toFile(), "rw")) {
      file.setLength(0);
      file.writeLong(Long.reverseBytes(json.length));
      file.write(json);
      file.setLength(8 + json.length + end);
    }
  }

  @Test
  void aModelFarTooLargeIsRefusedWithItsEstimateBeforeItIsLoaded() throws Exception {
    writeALargeBase();
    String[] train = {
      "train", "--config", "a.yaml", "--set", "adapter=lora", "--set", "device_map=cpu"
    };
    Ran ran = process(List.of("-Xmx512m"), train);
    assertEquals(2, ran.code, ran.err);
    assertTrue(ran.out.contains("\nmemory: about "), ran.out + ran.err);
    String last = ran.err.lines().reduce((a, b) -> b).orElse("");
    assertTrue(last.startsWith("error: ") && last.contains(" of memory are needed, "), ran.err);
    assertFalse(Files.exists(temp.resolve("out")));
    Ran plan = process(List.of("-Xmx512m"), "plan", "--config", "a.yaml", "--set", "adapter=lora");
    assertEquals(1, plan.code, plan.err);
    assertTrue(plan.out.contains("\nload_in_4bit: true (block) "), plan.out);
  }

  @Test
  void trainingSaysHowCheckpointingWasChosenAndWhatWasTaken() throws Exception {
    Ran ran = process(List.of(), "train", "--config", "a.yaml", "--set", "device_map=cpu");
    assertEquals(0, ran.code, ran.err);
    assertTrue(
        ran.out.matches(
            "(?s).*\nmemory: about .* gradient_checkpointing none, chosen by that \\(none .*"),
        ran.out);
    assertTrue(
        ran.out.matches("(?s).*\nmemory: \\d+ MiB planned, \\d+ MiB resident at most\n.*"),
        ran.out);
  }
}
