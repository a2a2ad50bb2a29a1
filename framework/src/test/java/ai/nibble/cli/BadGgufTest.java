package ai.nibble.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.TinyChat;
import ai.nibble.cli.Refusals.Reader;
import ai.nibble.gguf.GgufBytes;
import ai.nibble.model.TinyModel;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * GGUF files that break the format or contradict what lies beside them, as commands see them: with
 * the configuration and tokenizer of the original model beside them, and alone.
 */
class BadGgufTest {
  @TempDir Path temp;
  private Path beside;
  private Path alone;
  private Refusals refusals;

  @BeforeEach
  void writeWhatLiesBeside() throws IOException {
    beside = TinyChat.write(temp.resolve("beside"));
    Files.delete(beside.resolve("model.safetensors"));
    alone = Files.createDirectory(temp.resolve("alone"));
    refusals = new Refusals(temp);
  }

  /** What the reader itself is held to, by the commands that read one. */
  @ParameterizedTest(name = "{0}")
  @MethodSource({
    "ai.nibble.gguf.MalformedGgufTest#headers",
    "ai.nibble.gguf.MalformedGgufTest#metadata",
    "ai.nibble.gguf.MalformedGgufTest#tensors",
    "ai.nibble.gguf.MalformedGgufTest#vocabularies"
  })
  void aFileThatBreaksTheFormatIsRefused(String what, GgufBytes bytes, String[] inMessage)
      throws IOException {
    String[] parts = Arrays.copyOf(inMessage, inMessage.length + 1);
    Path with = bytes.write(beside.resolve("bad.gguf"));
    parts[inMessage.length] = with + ": ";
    refusals.each(List.of(Reader.GENERATE, Reader.TRAIN), with, parts);
    Path without = bytes.write(alone.resolve("bad.gguf"));
    parts[inMessage.length] = without + ": ";
    refusals.each(List.of(Reader.INSPECT), without, parts);
  }

  /** Of weights that are as they should be, what a file may be damaged by on its way. */
  @Test
  void aModelThatIsCutShortIsRefusedAndTheWholeOneIsTaken() throws IOException {
    // the last tensor's 12,432 bytes end 16 before the file does
    Path model = TinyChat.gguf(beside, Map.of());
    for (Reader reader : List.of(Reader.INSPECT, Reader.GENERATE)) {
      assertEquals(0, refusals.run(refusals.reading(reader, model)), refusals.said());
    }
    byte[] whole = Files.readAllBytes(model);
    for (int length : new int[] {whole.length - 17, whole.length / 2, whole.length / 10, 40}) {
      Files.write(model, Arrays.copyOf(whole, length));
      refusals.each(Reader.ALL, model, model + ": ", "download it again");
    }
  }

  @Test
  void metadataThatContradictsTheConfigurationIsRefused() throws IOException {
    Path model = TinyChat.gguf(beside, Map.of("llama.block_count", 3));
    refusals.each(
        Reader.ALL,
        model,
        model
            + ": 'llama.block_count' is '3', expected 2 by config.json; use the config.json that"
            + " belongs to this file");
    model = TinyChat.gguf(beside, Map.of("general.architecture", "mamba"));
    refusals.each(Reader.ALL, model, model + ": ", "'mamba', expected 'llama'");
  }

  @Test
  void aTypeThatIsNotReadIsNamed() throws IOException {
    Path config = beside.resolve("config.json");
    String text =
        Files.readString(config)
            .replace("\"hidden_size\": 12", "\"hidden_size\": 256")
            .replace("\"num_attention_heads\": 3", "\"num_attention_heads\": 4")
            .replace("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 1");
    Files.writeString(config, text);
    int blocks = 259 * 66; // of IQ2_XXS, 66 bytes for 256 weights
    Map<String, Object> metadata = new LinkedHashMap<>(new TinyModel(3, false).ggufMetadata());
    metadata.put("llama.block_count", 1);
    metadata.put("llama.context_length", 512);
    metadata.put("llama.embedding_length", 256);
    metadata.put("llama.attention.head_count", 4);
    metadata.put("llama.vocab_size", 259);
    GgufBytes bytes = GgufBytes.header(2, metadata.size());
    metadata.forEach(
        (key, value) -> {
          if (value instanceof String word) {
            bytes.key(key, word);
          } else if (value instanceof Float number) {
            bytes.key(key, GgufBytes.FLOAT32).f32(number);
          } else {
            bytes.uint32(key, (Integer) value);
          }
        });
    Path model =
        bytes
            .tensor("token_embd.weight", 16, 0, 256, 259)
            .tensor("blk.0.attn_norm.weight", 0, (blocks + 31) / 32 * 32, 256)
            .pad(32)
            .raw(new byte[blocks])
            .pad(32)
            .raw(new byte[1024])
            .write(beside.resolve("iq2.gguf"));
    refusals.each(
        Reader.ALL,
        model,
        model
            + ": tensor 'token_embd.weight' is stored as IQ2_XXS, which cannot be read as weights;"
            + " use the model in float32, float16 or bfloat16");
  }

  @Test
  void theMissingPartsOfASplitModelAreNamed() throws IOException {
    for (Path directory : List.of(beside, alone)) {
      Path first =
          GgufBytes.header(0, 2)
              .key("split.count", 2)
              .raw(3, 0)
              .key("split.no", 2)
              .raw(0, 0)
              .write(directory.resolve("m-00001-of-00003.gguf"));
      refusals.each(
          List.of(Reader.INSPECT, Reader.QUANTIZE, Reader.TRAIN),
          first,
          first + ": is part 1 of 3",
          "m-00002-of-00003.gguf, m-00003-of-00003.gguf are missing");
    }
  }

  /** A vocabulary that is there only in part, where the file alone is all there is. */
  @Test
  void aFileWithoutATokenizerOrOfAnUnknownKindSaysWhatIsMissing() throws IOException {
    Path model = TinyChat.gguf(alone, Map.of());
    for (String name :
        List.of("config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja")) {
      Files.delete(alone.resolve(name));
    }
    refusals.each(
        Reader.ALL,
        model,
        model
            + ": has no tokenizer in itself (no metadata 'tokenizer.ggml.model') and no config.json"
            + " beside it: put the original model's config.json and tokenizer.json there");
    Path other = TinyChat.gguf(beside, Map.of("general.architecture", "rwkv7"));
    byte[] bytes = Files.readAllBytes(other);
    Path moved = Files.write(alone.resolve("rwkv.gguf"), bytes);
    List<String> lines = refusals.of(refusals.reading(Reader.INSPECT, moved));
    assertTrue(
        lines.get(0).startsWith(moved + ": ") && lines.get(0).contains("tokenizer"), lines + "");
    assertTrue(new String(bytes, StandardCharsets.ISO_8859_1).contains("rwkv7"));
  }

  @Test
  void aDirectoryOfSeveralFilesIsNotChosenFrom() throws IOException {
    Files.copy(TinyChat.gguf(beside, Map.of()), beside.resolve("other.gguf"));
    refusals.each(
        List.of(Reader.INSPECT, Reader.QUANTIZE),
        beside,
        beside + ": holds 2 GGUF files, expected one: name the file to use, such as ");
  }
}
