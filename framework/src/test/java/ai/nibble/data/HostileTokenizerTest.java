package ai.nibble.data;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertDoesNotThrow;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.InvalidInputException;
import ai.nibble.data.regex.RegexBound;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Base64;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Files that would end the process in the native library, or pass it silently. */
class HostileTokenizerTest {
  private static final String GOOD =
      """
      {"version": "1.0", "truncation": null, "padding": null,
       "added_tokens": [{"id": 4, "content": "<end>", "single_word": false, "lstrip": false,
         "rstrip": false, "normalized": false, "special": true}],
       "normalizer": null, "pre_tokenizer": null, "post_processor": null, "decoder": null,
       "model": {"type": "BPE", "dropout": null, "unk_token": "?", "fuse_unk": false,
         "continuing_subword_prefix": null, "end_of_word_suffix": null, "byte_fallback": false,
         "vocab": {"?": 0, "a": 1, "b": 2, "ab": 3}, "merges": ["a b"]}}""";

  @TempDir private Path directory;

  private Tokenizer load(String json) throws IOException {
    Files.writeString(directory.resolve("tokenizer.json"), json);
    return Tokenizer.load(directory);
  }

  private String refusal(String json) {
    return assertThrows(InvalidInputException.class, () -> load(json).close()).getMessage();
  }

  private static String with(String old, String replacement) {
    assertTrue(GOOD.contains(old), old);
    return GOOD.replace(old, replacement);
  }

  @Test
  void theFileThatTheOthersAreMadeFromIsFine() throws IOException {
    try (Tokenizer tokenizer = load(GOOD)) {
      assertArrayEquals(new int[] {3, 4, 1, 0}, tokenizer.encode("ab<end>a?").ids());
      assertEquals(5, tokenizer.vocabSize());
    }
  }

  @Test
  void aPrefixLongerThanATokenIsRefused() {
    String message =
        refusal(
            with("\"continuing_subword_prefix\": null", "\"continuing_subword_prefix\": \"###\""));
    assertTrue(message.contains("continuing_subword_prefix '###'"), message);
  }

  @ParameterizedTest
  @ValueSource(
      strings = {"null", "\"\"", "\"AA==\"", "\"!!\"", "7", "\"/////w==\"", "\"BAAAAAAAAAA=\""})
  void aCharsmapThatDoesNotFitIsRefused(String charsmap) {
    String normalizer = "{\"type\": \"Precompiled\", \"precompiled_charsmap\": " + charsmap + "}";
    refusal(with("\"normalizer\": null", "\"normalizer\": " + normalizer));
    String sequence = "{\"type\": \"Sequence\", \"normalizers\": [" + normalizer + "]}";
    refusal(with("\"normalizer\": null", "\"normalizer\": " + sequence));
  }

  @Test
  void aCharsmapThatPointsOutsideItselfIsRefused() {
    ByteBuffer bytes = ByteBuffer.allocate(4 + 4 * 256 + 2).order(ByteOrder.LITTLE_ENDIAN);
    bytes.putInt(4 * 256).putInt(1 << 20 << 10);
    String charsmap = Base64.getEncoder().encodeToString(bytes.array());
    String normalizer =
        "{\"type\": \"Precompiled\", \"precompiled_charsmap\": \"" + charsmap + "\"}";
    String message = refusal(with("\"normalizer\": null", "\"normalizer\": " + normalizer));
    assertTrue(message.contains("points outside itself"), message);
  }

  @Test
  void aTemplateThatNamesAnUndefinedTokenIsRefused() {
    String processor =
        "{\"type\": \"TemplateProcessing\", \"single\": [{\"SpecialToken\": {\"id\": \"<s>\","
            + " \"type_id\": 0}}, {\"Sequence\": {\"id\": \"A\", \"type_id\": 0}}], \"pair\": [],"
            + " \"special_tokens\": {}}";
    String message = refusal(with("\"post_processor\": null", "\"post_processor\": " + processor));
    assertTrue(message.contains("'<s>'"), message);
  }

  @Test
  void truncationThatCannotAdvanceIsRefused() {
    String truncation =
        "{\"direction\": \"Right\", \"max_length\": 4, \"strategy\": \"LongestFirst\","
            + " \"stride\": 4}";
    refusal(with("\"truncation\": null", "\"truncation\": " + truncation));
  }

  @Test
  void truncationAndPaddingOfTheFileAreNotApplied() throws IOException {
    String truncation =
        "{\"direction\": \"Right\", \"max_length\": 4, \"strategy\": \"LongestFirst\","
            + " \"stride\": 0}";
    try (Tokenizer tokenizer =
        load(with("\"truncation\": null", "\"truncation\": " + truncation))) {
      assertEquals(100, tokenizer.encode("ab".repeat(100)).length());
    }
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '`',
      value = {
        "normalizer|{'type': 'Prepend', 'prepend': ''}|'prepend' is \"\"",
        "pre_tokenizer|{'type': 'FixedLength', 'length': 0}|'length' is 0",
        "normalizer|{'type': 'Replace', 'pattern': {'Regex': '\\\\b'}, 'content': 'x'}|an empty",
        "normalizer|{'type': 'Replace', 'pattern': {'Regex': '(?=a)'}, 'content': 'x'}|an empty",
        "normalizer|{'type': 'Replace', 'pattern': {'Regex': ' *'}, 'content': 'x'}|an empty",
      })
  void aComponentThatTakesNothingIsRefused(String part, String component, String says) {
    String json = component.replace('\'', '"');
    String message = refusal(with("\"" + part + "\": null", "\"" + part + "\": " + json));
    assertTrue(message.contains(part + ": ") && message.contains(says), message);
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "(a|aa)+$",
        "(a+)+",
        "(a*)*b",
        "((a|b)*c)*",
        "(?:x+x+)+y",
        "(.*)*",
        "(a|b){2,}",
        "(a)\\\\1",
        "(?i:a|A)+",
        "(a{1,5}){1,50}",
        "(((a|a){4}){4}){4}b",
        "a?a?a?a?a?a?a?a?a?aaaaaaaaab",
        "a+a+a+a+a+a+a+a+a+a+b"
      })
  void aPatternThatCanBacktrackWithoutEndIsRefused(String pattern) {
    String split =
        "{\"type\": \"Split\", \"pattern\": {\"Regex\": \""
            + pattern
            + "\"}, \"behavior\": \"Isolated\", \"invert\": false}";
    refusal(with("\"pre_tokenizer\": null", "\"pre_tokenizer\": " + split));
    String sequence = "{\"type\": \"Sequence\", \"pretokenizers\": [" + split + "]}";
    refusal(with("\"pre_tokenizer\": null", "\"pre_tokenizer\": " + sequence));
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|"
            + " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
        "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
        "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+"
            + "(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+",
        "[一-龥ࠀ-一가-퟿]+",
        "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+",
        "\\s?\\p{L}+",
      })
  void thePatternsOfPublishedTokenizersPass(String pattern) {
    assertDoesNotThrow(() -> RegexBound.of(pattern));
  }

  @ParameterizedTest
  @ValueSource(strings = {"-1", "1.5", "\"1\"", "null", "4294967296", "2"})
  void anIdThatIsNoneOrTakenIsRefused(String id) {
    refusal(with("\"a\": 1", "\"a\": " + id));
    refusal(with("\"id\": 4", "\"id\": " + id));
  }

  @Test
  void anAddedTokenThatWouldGetAnotherIdIsRefused() {
    String message = refusal(with("\"id\": 4", "\"id\": 9"));
    assertTrue(message.contains("has id 9, expected 4"), message);
  }

  @ParameterizedTest
  @ValueSource(strings = {"\"a c\"", "\"a\"", "\"b a\"", "7", "[\"a\"]", "\"a b c\""})
  void aMergeOfUnknownTokensIsRefused(String merge) {
    refusal(with("\"a b\"", merge));
  }

  @Test
  void whatIsNoJsonObjectIsRefused() {
    for (String json :
        new String[] {
          "",
          "[]",
          "7",
          GOOD + "x",
          GOOD + GOOD,
          GOOD.substring(0, 200),
          "[".repeat(200_000),
          "{\"model\": {}}",
          "{\"model\": {\"vocab\": 7}}",
          "{\"a\": 1, \"a\": 2}"
        }) {
      String message = refusal(json);
      assertTrue(message.contains("tokenizer.json") && !message.contains("\n"), message);
    }
  }

  @Test
  void aDirectoryWithSentencePieceOnlyIsToldWhatToDo() throws IOException {
    Files.writeString(directory.resolve("tokenizer.model"), "x");
    String message =
        assertThrows(InvalidInputException.class, () -> Tokenizer.load(directory)).getMessage();
    assertTrue(message.contains("save_pretrained"), message);
  }

  @Test
  void aSpecialTokenThatIsNoTokenIsRefused() throws IOException {
    Files.writeString(
        directory.resolve("tokenizer_config.json"), "{\"eos_token\": {\"content\": \"</s>\"}}");
    assertTrue(refusal(GOOD).contains("'eos_token' is '</s>'"));
  }
}
