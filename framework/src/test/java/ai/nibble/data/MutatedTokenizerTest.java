package ai.nibble.data;

import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.JsonMutations;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Tokenizers damaged at random. What the native library does not survive ends this process, so that
 * they are read at all is what is tested.
 */
class MutatedTokenizerTest {
  private static final String BYTE_LEVEL =
      """
      {"version": "1.0",
       "truncation": {"direction": "Right", "max_length": 9, "strategy": "LongestFirst", "stride": 1},
       "padding": {"strategy": {"Fixed": 4}, "direction": "Right", "pad_to_multiple_of": null,
         "pad_id": 0, "pad_type_id": 0, "pad_token": "?"},
       "added_tokens": [{"id": 6, "content": "<end>", "single_word": false, "lstrip": false,
         "rstrip": false, "normalized": false, "special": true}],
       "normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"},
         {"type": "Replace", "pattern": {"String": "_"}, "content": " "}]},
       "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
         {"type": "Split", "pattern": {"Regex": " ?\\\\p{L}+|\\\\s+(?!\\\\S)|\\\\p{N}{1,3}"},
          "behavior": "Isolated", "invert": false},
         {"type": "Digits", "individual_digits": true},
         {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false}]},
       "post_processor": {"type": "TemplateProcessing",
         "single": [{"SpecialToken": {"id": "<end>", "type_id": 0}}, {"Sequence": {"id": "A",
           "type_id": 0}}], "pair": [{"Sequence": {"id": "A", "type_id": 0}},
           {"Sequence": {"id": "B", "type_id": 1}}],
         "special_tokens": {"<end>": {"id": "<end>", "ids": [6], "tokens": ["<end>"]}}},
       "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true,
         "use_regex": true},
       "model": {"type": "BPE", "dropout": null, "unk_token": "?", "fuse_unk": false,
         "continuing_subword_prefix": "", "end_of_word_suffix": null, "byte_fallback": false,
         "ignore_merges": false,
         "vocab": {"?": 0, "a": 1, "b": 2, "ab": 3, "\\u0120a": 4, "\\u0120": 5},
         "merges": ["a b", "\\u0120 a"]}}""";

  private static final String UNIGRAM =
      """
      {"version": "1.0", "truncation": null, "padding": null,
       "added_tokens": [{"id": 0, "content": "<unk>", "single_word": false, "lstrip": true,
         "rstrip": false, "normalized": true, "special": true}],
       "normalizer": {"type": "Prepend", "prepend": "\\u2581"},
       "pre_tokenizer": {"type": "Metaspace", "replacement": "\\u2581", "prepend_scheme": "first",
         "split": false},
       "post_processor": null,
       "decoder": {"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String":
         "\\u2581"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"},
         {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
       "model": {"type": "Unigram", "unk_id": 0, "byte_fallback": true,
         "vocab": [["<unk>", 0.0], ["a", -1.5], ["b", -2.0], ["ab", -2.5], ["\\u2581", -1.0],
           ["<0x0A>", -9.0]]}}""";

  private static final Map<String, String> FILES = Map.of("bpe", BYTE_LEVEL, "unigram", UNIGRAM);

  @TempDir Path temp;

  @ParameterizedTest
  @ValueSource(strings = {"bpe", "unigram"})
  void anyTokenizerIsReadOrRefused(String name) throws IOException {
    Path file = temp.resolve("tokenizer.json");
    Files.writeString(file, FILES.get(name));
    Tokenizer.load(temp).close(); // the file that the others are made from is fine
    JsonMutations files = new JsonMutations(FILES.get(name), 46);
    files.each(
        1500,
        file.toString(),
        json -> {
          Files.write(file, json);
          try (Tokenizer tokenizer = Tokenizer.load(temp)) {
            for (String text :
                new String[] {
                  "", "ab a<end>b_ab?", "\u00e9\ud83d\ude00\n12 \u0000", "ab ".repeat(40)
                }) {
              int[] ids = tokenizer.encode(text).ids();
              tokenizer.decode(ids, false);
              tokenizer.decode(ids, true);
            }
            tokenizer.textPrefix();
          }
        });
    assertTrue(files.refused() > 300 && files.taken() > 50, files.taken() + " taken");
  }
}
