package ai.nibble.lora;

import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.JsonMutations;
import ai.nibble.TinyChat;
import ai.nibble.model.CausalLm;
import ai.nibble.model.LoadOptions;
import ai.nibble.tensor.DType;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Configurations of adapters damaged at random, beside tensors that are as they were. */
class MutatedAdapterConfigTest {
  @TempDir Path temp;

  @Test
  void anyConfigurationIsFollowedOrRefused() throws IOException {
    Path base = TinyChat.write(temp.resolve("base"));
    Path folder = temp.resolve("adapter");
    Path file = folder.resolve(AdapterConfigFile.NAME);
    try (CausalLm model = CausalLm.load(base, LoadOptions.unquantized(DType.FLOAT32))) {
      RandomAdapter.save(model, 3, 5, folder);
      String config =
          Files.readString(file)
              .replace("\"rank_pattern\" : { }", "\"rank_pattern\" : {\"q_proj\": 3}")
              .replace("\"alpha_pattern\" : { }", "\"alpha_pattern\" : {\"layers.0.*proj\": 7.5}")
              .replace(
                  "\"layers_to_transform\" : null",
                  "\"layers_to_transform\" : [0, 1], \"exclude_modules\": [\"x\"]");
      assertTrue(config.contains("7.5") && config.contains("exclude_modules"), config);
      JsonMutations configs = new JsonMutations(config, 71);
      configs.each(
          800,
          folder.toString(),
          json -> {
            Files.write(file, json);
            AdapterStore.load(model, folder).close();
          });
      assertTrue(configs.refused() > 150 && configs.taken() > 50, configs.taken() + " taken");
    }
  }
}
