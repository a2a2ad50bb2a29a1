package ai.nibble.recipe;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.InvalidInputException;
import ai.nibble.TinyChat;
import ai.nibble.plan.Component;
import ai.nibble.plan.MemoryPlan;
import ai.nibble.plan.Phase;
import ai.nibble.tensor.Device;
import ai.nibble.tensor.Torch;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The key {@code devices}, from its words to the adapter that several workers train. */
final class DevicesTest {
  private static final Device CUDA = new Device(Device.Type.CUDA, 0);
  private static final String MORE = "gradient_accumulation_steps: 4\ndevices: ";

  private static final String RECIPE =
      """
      base_model: chat
      datasets: [{path: rows.jsonl, type: text}]
      val_set_size: 3
      eval_steps: 1
      learning_rate: 0.01
      lr_scheduler: constant
      sequence_len: 16
      lora_r: 2
      micro_batch_size: 2
      gradient_accumulation_steps: 4
      max_steps: 3
      save_steps: 1
      output_dir: out
      seed: 1
      """;

  @TempDir Path temp;

  private Devices read(String value) throws IOException {
    return new RecipeFiles(temp).load(MORE + value + "\n").training().devices();
  }

  private String refused(String value) throws IOException {
    List<String> problems = new RecipeFiles(temp).problems(MORE + value + "\n");
    assertEquals(1, problems.size(), problems.toString());
    return problems.get(0);
  }

  @Test
  void aNumberOrGpusByTheirOrdinals() throws IOException {
    assertEquals(Devices.of(2), read("2"));
    assertEquals(new Devices(2, List.of(0, 3)), read("[0, 3]"));
    assertEquals(new Devices(2, List.of(1, 0)), read("[cuda:1, gpu:0]"));
    Recipe recipe = new RecipeFiles(temp).load(MORE + "[1, 2]\n");
    assertTrue(recipe.resolvedYaml().contains("devices: [1, 2]"), recipe.resolvedYaml());
    assertTrue(new RecipeFiles(temp).load("").resolvedYaml().contains("\ndevices: 1\n"));
  }

  @Test
  void otherWordsAreRefusedWithTheirPlace() throws IOException {
    String expected = "expected a number of devices from 1 to 64, or GPUs as [0, 1]";
    assertEquals("a.yaml:7:10: 'devices' is 'all', " + expected, refused("all"));
    assertEquals("a.yaml:7:10: 'devices' is an empty list, " + expected, refused("[]"));
    assertEquals("a.yaml:7:11: 'devices' is 'cpu', " + expected, refused("[cpu, 1]"));
    assertEquals("a.yaml:7:14: 'devices' is '1', expected each GPU once", refused("[1, 1]"));
    assertTrue(refused("0").startsWith("a.yaml:7:10: 'devices' is '0', expected "), refused("0"));
  }

  @Test
  void moreDevicesThanMicroBatchesAreRefused() throws IOException {
    assertEquals(
        "a.yaml:7:10: 'devices' is 8, but a step has 4 micro-batches to share out: set"
            + " gradient_accumulation_steps to a multiple of it",
        refused("8"));
  }

  @Test
  void aModelIsDividedOrCopiedNotBoth() throws IOException {
    String map =
        "2\ndevice_map: {model.embed_tokens: cpu, model.layers: 'cuda:0', model.norm: cpu,";
    assertEquals(
        "a.yaml:7:10: 'devices' gives each device the whole model, but 'device_map' (a.yaml:8:13)"
            + " divides it: keep one",
        refused(map + " lm_head: cpu}"));
  }

  @Test
  void gpusAreTheFirstOnesOrThoseNamedIfTheyAreThere() {
    assertEquals(List.of(Device.CPU, Device.CPU), Devices.of(2).on(Device.CPU, 0, "a.yaml:1:1"));
    Device second = new Device(Device.Type.CUDA, 1);
    assertEquals(List.of(CUDA, second), Devices.of(2).on(CUDA, 2, "a.yaml:1:1"));
    Devices named = new Devices(2, List.of(1, 0));
    assertEquals(List.of(second, CUDA), named.on(CUDA, 2, "a.yaml:1:1"));
    assertEquals(
        "a.yaml:1:1: 'devices' asks for cuda:1, but libtorch computes on 1 GPU; 'nibble doctor'"
            + " shows them",
        assertThrows(InvalidInputException.class, () -> named.on(CUDA, 1, "a.yaml:1:1"))
            .getMessage());
    assertEquals(
        "a.yaml:1:1: 'devices' names GPUs [1, 0], but the CPU computes: give a number",
        assertThrows(InvalidInputException.class, () -> named.on(Device.CPU, 0, "a.yaml:1:1"))
            .getMessage());
  }

  private Recipe recipe(String... sets) throws IOException {
    TinyChat.write(temp.resolve("chat"));
    StringBuilder rows = new StringBuilder();
    for (int i = 0; i < 19; i++) {
      rows.append("{\"text\": \"").append("abcdefghijkl", 0, 1 + i % 12).append("\"}\n");
    }
    Files.writeString(temp.resolve("rows.jsonl"), rows);
    Path file = Files.writeString(temp.resolve("a.yaml"), RECIPE);
    return RecipeLoader.load(file, List.of(sets));
  }

  private String run(String output, String... sets) throws IOException {
    List<String> all = new ArrayList<>(List.of(sets));
    all.add("output_dir=" + temp.resolve(output));
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    PrintStream out = new PrintStream(bytes, true, StandardCharsets.UTF_8);
    new RecipeRun(recipe(all.toArray(String[]::new)), out, false).run();
    return bytes.toString(StandardCharsets.UTF_8);
  }

  private byte[] adapter(String output) throws IOException {
    return Files.readAllBytes(temp.resolve(output).resolve("adapter_model.safetensors"));
  }

  @Test
  void twoWorkersWriteTheAdapterOfOneAndGoOnFromItsCheckpoint() throws IOException {
    int before = Torch.threads();
    try {
      Torch.setThreads(1);
      run("one");
      Torch.setThreads(2); // shared by two workers: one each
      String told = run("two", "devices=2", "max_steps=2");
      assertTrue(
          told.contains(
              "\n4 micro-batches a step: 2 on cpu, 2 on cpu; gradients by shared memory\n"),
          told);
      run("two", "devices=2", "resume_from_checkpoint=auto", "resume_with_changes=true");
      run("pissa", "init_lora_weights=pissa", "lora_dropout=0", "devices=2");
      Torch.setThreads(1);
      run("pissa1", "init_lora_weights=pissa", "lora_dropout=0");
    } finally {
      Torch.setThreads(before);
    }
    assertArrayEquals(adapter("one"), adapter("two"));
    assertArrayEquals(adapter("pissa1"), adapter("pissa"));
  }

  @Test
  void allWeightsAreTrainedTheSameToo() throws IOException {
    int before = Torch.threads();
    try {
      Torch.setThreads(1);
      run("one", "adapter=none");
      run("four", "adapter=none", "devices=4");
    } finally {
      Torch.setThreads(before);
    }
    Path model = Path.of("model.safetensors");
    assertArrayEquals(
        Files.readAllBytes(temp.resolve("one").resolve(model)),
        Files.readAllBytes(temp.resolve("four").resolve(model)));
  }

  /** On a CPU, where they have nothing to do; a line says so. */
  @Test
  void pagesAndOffloadingChangeNothingOnACpu() throws IOException {
    int before = Torch.threads();
    try {
      Torch.setThreads(1);
      for (String bits : List.of("8bit", "32bit")) {
        run("plain" + bits, "optimizer=adamw_" + bits, "lora_r=8", "gradient_checkpointing=none");
        String told =
            run(
                "paged" + bits,
                "optimizer=paged_adamw_" + bits,
                "lora_r=8",
                "gradient_checkpointing=offload");
        assertArrayEquals(adapter("plain" + bits), adapter("paged" + bits));
        assertTrue(told.contains("\npaged optimizer: a CPU has its memory at hand,"), told);
        assertTrue(told.contains("\ngradient_checkpointing: offload is block on a CPU,"), told);
      }
    } finally {
      Torch.setThreads(before);
    }
  }

  @Test
  void thePlanCountsWhatEachWorkerHasOfItsOwn() throws IOException {
    PrintStream none = new PrintStream(new ByteArrayOutputStream());
    MemoryPlan one = RecipePlan.read(recipe(), none, List.of()).plan();
    RecipePlan plan = RecipePlan.read(recipe("devices=2"), none, List.of());
    MemoryPlan two = plan.plan();
    assertEquals(2, plan.workers());
    for (Component c : List.of(Component.WEIGHTS_4BIT, Component.GRADIENTS, Component.WORKING)) {
      assertTrue(one.bytes(Phase.TRAIN, c) > 0, c.label());
      assertEquals(2 * one.bytes(Phase.TRAIN, c), two.bytes(Phase.TRAIN, c), c.label());
    }
    assertEquals(
        one.bytes(Phase.TRAIN, Component.OPTIMIZER), two.bytes(Phase.TRAIN, Component.OPTIMIZER));
    assertEquals(
        one.bytes(Phase.MERGE, Component.LOADING), two.bytes(Phase.MERGE, Component.LOADING));

    List<Long> gpu = List.of(8L << 30);
    MemoryPlan first = RecipePlan.read(recipe("devices=2"), none, gpu).plan();
    MemoryPlan alone = RecipePlan.read(recipe(), none, gpu).plan();
    long flat = alone.bytes(Phase.LOAD, Component.GRADIENTS);
    assertEquals(
        alone.bytes(Phase.TRAIN, Component.GRADIENTS) + flat,
        first.bytes(Phase.TRAIN, Component.GRADIENTS));
    assertEquals(
        alone.bytes(Phase.TRAIN, Component.WEIGHTS_4BIT),
        first.bytes(Phase.TRAIN, Component.WEIGHTS_4BIT));
  }
}
