package ai.nibble.golden;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.InvalidInputException;
import ai.nibble.Shared;
import ai.nibble.autograd.Tape;
import ai.nibble.autograd.Variable;
import ai.nibble.export.merge.Merge;
import ai.nibble.export.merge.MergeReport;
import ai.nibble.export.merge.MergeRequest;
import ai.nibble.lora.AdapterConfigFile;
import ai.nibble.lora.AdapterStore;
import ai.nibble.lora.LoraAdapter;
import ai.nibble.model.CausalLm;
import ai.nibble.model.Checkpointing;
import ai.nibble.model.LoadOptions;
import ai.nibble.nn.Parameter;
import ai.nibble.nn.Pass;
import ai.nibble.safetensors.SafetensorsFile;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Tensor;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * Adapters on embedding and output head and rows of tokens that are trained by themselves, as PEFT
 * saves and computes them: see tables.py.
 */
@Tag("golden")
class GoldenTablesTest {
  private static final int LENGTH = 24;
  private static final int IGNORED = -100;

  @TempDir Path temp;
  private long liveBefore;

  @BeforeEach
  void countTensors() {
    liveBefore = Tensor.live();
  }

  @AfterEach
  void everyTensorIsClosed() {
    assertEquals(liveBefore, Tensor.live());
  }

  private static List<Path> folders() {
    List<Path> folders = Golden.folders(Contradicted.anew("tables"));
    assertEquals(9, folders.size());
    return folders;
  }

  private static Path base(Path folder) {
    String name = AdapterConfigFile.read(folder).baseModel().orElseThrow();
    return Shared.fixtures("models").resolve(name);
  }

  private static CausalLm load(Path base) {
    return CausalLm.load(base, LoadOptions.unquantized(DType.FLOAT32));
  }

  private static SafetensorsFile golden(Path folder) {
    return SafetensorsFile.open(folder.resolve("golden.safetensors"));
  }

  private static void assertLogits(CausalLm model, SafetensorsFile golden, Path folder) {
    float[] expected = Golden.floats(golden, "logits");
    int[] ids = Golden.ints(golden, "input_ids");
    int size = expected.length / 2;
    for (int row = 0; row < 2; row++) {
      int[] own = Arrays.copyOfRange(ids, row * LENGTH, (row + 1) * LENGTH);
      float[] theirs = Arrays.copyOfRange(expected, row * size, (row + 1) * size);
      assertArrayEquals(theirs, Golden.logits(model, own), 1e-4f, folder.toString());
    }
  }

  @Test
  void logitsAreThoseOfPeft() {
    for (Path folder : folders()) {
      try (CausalLm model = load(base(folder));
          LoraAdapter adapter = AdapterStore.load(model, folder);
          SafetensorsFile golden = golden(folder)) {
        assertLogits(model, golden, folder);
        float[] with = Golden.logits(model, new int[] {5, 281, 7});
        float[] without = adapter.muted(() -> Golden.logits(model, new int[] {5, 281, 7}));
        adapter.detach();
        assertArrayEquals(without, Golden.logits(model, new int[] {5, 281, 7}), 1e-6f);
        adapter.attach();
        assertArrayEquals(with, Golden.logits(model, new int[] {5, 281, 7}));
      }
    }
  }

  @Test
  void gradientsAreThoseOfPeft() {
    for (Path folder : folders()) {
      try (CausalLm model = load(base(folder));
          LoraAdapter adapter = AdapterStore.load(model, folder);
          SafetensorsFile golden = golden(folder)) {
        for (Checkpointing checkpointing : Checkpointing.values()) {
          adapter.parameters().grads().zero();
          double loss = lossAndGradients(model, golden, checkpointing);
          assertEquals(Golden.floats(golden, "loss")[0], loss, 1e-5, folder.toString());
          for (Parameter p : adapter.parameters().parameters()) {
            float[] expected = Golden.floats(golden, "grad." + p.name());
            assertClose(folder + " " + p.name(), expected, p.grad().toFloats());
          }
        }
      }
    }
  }

  private static double lossAndGradients(
      CausalLm model, SafetensorsFile golden, Checkpointing checkpointing) {
    int[] ids = Golden.ints(golden, "input_ids");
    int[] labels = Golden.ints(golden, "labels");
    int[] positions =
        IntStream.range(0, ids.length - 1)
            .filter(p -> p % LENGTH < LENGTH - 1 && labels[p + 1] != IGNORED)
            .toArray();
    int[] targets = Arrays.stream(positions).map(p -> labels[p + 1]).toArray();
    Pass pass = new Pass(new int[] {0, LENGTH, 2 * LENGTH}, true, 3);
    try (Tape tape = Tape.recording();
        Variable hidden = model.hidden(tape, ids, pass, checkpointing)) {
      CausalLm.Loss loss = model.loss(tape, hidden, pass, positions, targets, positions.length);
      tape.backward(loss.value(), Tensor.of(new float[] {1}, 1));
      return loss.sum() / positions.length;
    }
  }

  /** Within a thousandth of the tensor's norm: sums of float32 in another order. */
  private static void assertClose(String what, float[] expected, float[] actual) {
    double difference = 0;
    double norm = 0;
    for (int i = 0; i < expected.length; i++) {
      difference += Math.pow(expected[i] - actual[i], 2);
      norm += Math.pow(expected[i], 2);
    }
    assertTrue(norm > 0, what);
    assertEquals(0, Math.sqrt(difference / norm), 1e-3, what);
  }

  /** Token by token with a cache, and all at once. */
  @Test
  void generationComputesTheSame() {
    for (Path folder : folders()) {
      try (CausalLm model = load(base(folder));
          LoraAdapter adapter = AdapterStore.load(model, folder)) {
        int[] prompt = {5, 281, 7, 17, 9};
        assertTrue(adapter.parameters().numel() > 0);
        assertArrayEquals(
            Golden.greedy(model, prompt, 12), Golden.generated(model, prompt, 12), folder + "");
      }
    }
  }

  /** What is saved is what was read, under the same names. */
  @Test
  void whatIsSavedIsLoadedAgain() throws IOException {
    for (Path folder : folders()) {
      Path copy = temp.resolve(folder.getFileName());
      try (CausalLm model = load(base(folder));
          SafetensorsFile golden = golden(folder)) {
        try (LoraAdapter adapter = AdapterStore.load(model, folder)) {
          adapter.save(copy, "base");
        }
        try (LoraAdapter adapter = AdapterStore.load(model, copy);
            SafetensorsFile ours = SafetensorsFile.open(copy.resolve(AdapterStore.WEIGHTS));
            SafetensorsFile theirs = SafetensorsFile.open(folder.resolve(AdapterStore.WEIGHTS))) {
          assertLogits(model, golden, folder);
          assertEquals(
              theirs.names().stream().filter(n -> !n.contains("base_layer")).toList().size(),
              ours.names().size());
          assertTrue(theirs.names().containsAll(ours.names()), ours.names() + "");
          assertEquals(adapter.parameters().parameters().size(), ours.names().size());
        }
      }
    }
  }

  /** Where base ties head and embedding, the merged model does only if both changed alike. */
  @Test
  void mergedModelsComputeTheSame() {
    for (Path folder : folders()) {
      Path output = temp.resolve("merged_" + folder.getFileName());
      MergeReport report = merge(base(folder), folder, false, output);
      assertTrue(report.proof().holds(), folder + ": " + report.proof());
      try (CausalLm merged = load(output);
          CausalLm base = load(base(folder));
          SafetensorsFile golden = golden(folder)) {
        assertLogits(merged, golden, folder);
        boolean rows = folder.getFileName().toString().contains("rows");
        assertEquals(
            base.config().tieWordEmbeddings() && rows, merged.config().tieWordEmbeddings());
      }
    }
  }

  /** What was added to embedding and head is taken out again; replaced rows cannot be. */
  @Test
  void adaptersOfTablesAreTakenOutAgain() {
    for (Path folder : folders()) {
      String name = folder.getFileName().toString();
      Path merged = temp.resolve("with_" + name);
      merge(base(folder), folder, false, merged);
      Path without = temp.resolve("without_" + name);
      if (name.contains("rows")) {
        String message =
            assertThrows(InvalidInputException.class, () -> merge(merged, folder, true, without))
                .getMessage();
        assertTrue(message.contains("replaced rows of tokens"), message);
        continue;
      }
      merge(merged, folder, true, without);
      try (CausalLm base = load(base(folder));
          CausalLm undone = load(without)) {
        int[] ids = {5, 281, 7, 17};
        assertArrayEquals(Golden.logits(base, ids), Golden.logits(undone, ids), 1e-4f, name);
      }
    }
  }

  private static MergeReport merge(Path base, Path adapter, boolean undo, Path output) {
    return Merge.run(
        new MergeRequest(
            base,
            List.of(new MergeRequest.Adapter(adapter, OptionalDouble.empty())),
            Optional.empty(),
            Optional.of(DType.FLOAT32),
            1 << 30,
            Optional.empty(),
            Optional.empty(),
            undo,
            output),
        notice -> {},
        line -> {});
  }
}
