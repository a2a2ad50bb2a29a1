package ai.nibble.data;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.InvalidInputException;
import ai.nibble.data.regex.RegexBound;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Base64;
import java.util.Collections;
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
         "vocab": {"?": 0, "a": 1, "b": 2, "ab": 3}, "merges": ["a b"]}}\
      """;

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

  /** A trie whose root leads by {@code c} to a value: where its text begins. */
  private String charsmap(char c, int begin, byte... texts) {
    ByteBuffer bytes = ByteBuffer.allocate(4 + 4 * 512 + texts.length);
    bytes.order(ByteOrder.LITTLE_ENDIAN).putInt(4 * 512);
    int base = 256; // children of the root, whose own offset it is
    bytes.putInt(4, base << 10);
    int child = base ^ c;
    int own = 1; // where the child's value stands, apart from all else
    bytes.putInt(4 + 4 * child, (child ^ own) << 10 | 1 << 8 | c);
    bytes.putInt(4 + 4 * own, begin | 1 << 31);
    bytes.position(4 + 4 * 512);
    bytes.put(texts);
    String charsmap = Base64.getEncoder().encodeToString(bytes.array());
    return "{\"type\": \"Precompiled\", \"precompiled_charsmap\": \"" + charsmap + "\"}";
  }

  @Test
  void aCharsmapWhoseTextsAreNoTextIsRefused() throws IOException {
    String place = "\"normalizer\": null";
    byte[] good = {'x', 'y', 0, (byte) 0xc3, (byte) 0xa9, 0, 0};
    String json = with(place, "\"normalizer\": " + charsmap('a', 1, good));
    try (Tokenizer tokenizer = load(json)) { // a becomes y, which is no token
      assertArrayEquals(new int[] {0, 2}, tokenizer.encode("ab").ids());
    }
    String message = refusal(with(place, "\"normalizer\": " + charsmap('a', 4, good)));
    assertTrue(message.contains("points into a character"), message);
    message = refusal(with(place, "\"normalizer\": " + charsmap('a', 2, good)));
    assertTrue(message.contains("leaves out printed characters"), message);
    message = refusal(with(place, "\"normalizer\": " + charsmap('a', 0, (byte) 0xff)));
    assertTrue(message.contains("texts that are not UTF-8"), message);
    message = refusal(with(place, "\"normalizer\": " + charsmap('a', 0, new byte[200])));
    assertTrue(message.contains("leaves out printed"), message);
    byte[] endless = new byte[200];
    Arrays.fill(endless, (byte) 'z');
    message = refusal(with(place, "\"normalizer\": " + charsmap('a', 0, endless)));
    assertTrue(message.contains("more than 128 bytes"), message);
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

  private static String split(String pattern) {
    return "{\"type\": \"Split\", \"pattern\": {\"Regex\": \""
        + pattern.replace("\\", "\\\\")
        + "\"}, \"behavior\": \"Isolated\", \"invert\": false}";
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "(a|aa)+$",
        "(a+)+b",
        "(a*)*b",
        "((a|b)*c)*",
        "(?:x+x+)+y",
        "(.*)*",
        "(a|b){2,}c",
        "(a)\\1",
        "(?i:a+)",
        "(a{1,5}){1,50}b",
        "(((a|a){4}){4}){4}b",
        "a?a?a?a?a?a?a?a?a?a?aaaaaaaaab",
        "a+a+b",
        "a+a+a+a+a+a+a+a+b",
        "a+a+a+a+a+a+a+a+a+a+b",
        "(?~a)",
        "a\\Kb",
        "(?<n>a)\\g<n>",
        "(?i)a",
        "a**",
        "a{1,3}+",
        "(?=a+)+",
      })
  void aPatternThatMayBacktrackTooOftenOrIsNotUnderstoodIsRefused(String pattern)
      throws IOException {
    String split = split(pattern);
    String message = refusal(with("\"pre_tokenizer\": null", "\"pre_tokenizer\": " + split));
    assertTrue(message.contains("pre_tokenizer: the pattern '" + pattern + "' "), message);
    String sequence = "{\"type\": \"Sequence\", \"pretokenizers\": [" + split + "]}";
    refusal(with("\"pre_tokenizer\": null", "\"pre_tokenizer\": " + sequence));
    String replace = split.replace("Split", "Replace").replace("Isolated", "x\", \"content\": \"x");
    refusal(with("\"normalizer\": null", "\"normalizer\": " + replace));
    refusal(with("\"decoder\": null", "\"decoder\": " + replace));
  }

  @Test
  void aTextGrowsNoFurtherThanALimit() throws IOException {
    String replace =
        "{\"type\": \"Replace\", \"pattern\": {\"String\": \"a\"}, \"content\": \"aaaaaaaaaa\"}";
    String one = "{\"type\": \"Sequence\", \"normalizers\": [" + replace + "]}";
    String two = "{\"type\": \"Sequence\", \"normalizers\": [" + replace + "," + replace + "]}";
    try (Tokenizer tokenizer = load(with("\"normalizer\": null", "\"normalizer\": " + one))) {
      assertEquals(1000, tokenizer.encode("a".repeat(100)).length());
    }
    String message = refusal(with("\"normalizer\": null", "\"normalizer\": " + two));
    assertTrue(message.contains("100 times as long, expected at most 16 times"), message);
    String decoders = two.replace("normalizers", "decoders");
    message = refusal(with("\"decoder\": null", "\"decoder\": " + decoders));
    assertTrue(message.contains("100 times as long"), message);
    String prepend = "{\"type\": \"Prepend\", \"prepend\": \"" + "y".repeat(16) + "\"}";
    refusal(with("\"normalizer\": null", "\"normalizer\": " + prepend));
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '`',
      value = {
        // without a type the library takes what the fields resemble
        "normalizer|{'pattern': {'String': ''}, 'content': 'x'}|'type' is",
        "normalizer|{'type': 'Bert', 'pattern': {'String': 'a'}, 'content': 'x'}|'type' is",
        "normalizer|{'type': 'BertNormalizer', 'pattern': {'String': 'a'}}|'pattern' is no setting",
        "pre_tokenizer|{'type': 'CharDelimiterSplit', 'length': 0}|'length' is no setting",
        "decoder|{'type': 'Strip', 'content': 'a', 'start': 0, 'stop': 1}|'stop' is 1, expected 0",
        "decoder|{'type': 'Fuse', 'x': 1e999}|whole numbers",
        "decoder|[{'type': 'Fuse'}]|is no object",
        "pre_tokenizer|{'type': 'Sequence', 'pretokenizers': 7}|expected a list",
        "normalizer|{'type': 'Replace', 'pattern': {}, 'content': 'x'}|'pattern' is {}",
      })
  void aComponentThatIsNotWhatItSeemsIsRefused(String part, String component, String says) {
    String json = component.replace('\'', '"');
    String message = refusal(with("\"" + part + "\": null", "\"" + part + "\": " + json));
    assertTrue(message.contains(part) && message.contains(says), message);
  }

  /** Each grows a text little by itself, and without end in a row. */
  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '`',
      value = {
        "normalizer | 3 | {'type': 'ByteLevel'}",
        "pre_tokenizer | 3 | {'type': 'ByteLevel', 'add_prefix_space': true, 'trim_offsets': true}",
        "pre_tokenizer | 3 | {'type': 'Metaspace', 'replacement': '_', 'prepend_scheme': 'always'}",
        "normalizer | 3 | {'type': 'BertNormalizer', 'handle_chinese_chars': true}",
        // one character of the text, two of the pattern
        "normalizer | 5 | {'type': 'Replace', 'pattern': {'Regex': '(?i:ss)'}, 'content': 'ßß'}",
        // which a normal form takes apart
        "normalizer | 3 | {'type': 'Replace', 'pattern': {'String': 'f'}, 'content': '\ufb03'}"
      })
  void componentsThatLetATextGrowAreFewInARow(String part, int most, String component) {
    String name = part.equals("normalizer") ? "normalizers" : "pretokenizers";
    String json = component.replace('\'', '"');
    String several = String.join(", ", Collections.nCopies(most, json));
    String sequence = "{\"type\": \"Sequence\", \"" + name + "\": [" + several + "]}";
    String message = refusal(with("\"" + part + "\": null", "\"" + part + "\": " + sequence));
    assertTrue(message.contains("times as long, expected at most 16 times"), message);
  }

  @Test
  void aCharsmapMakesOneCharacterNoLongText() throws IOException {
    byte[] fits = "y".repeat(16).getBytes(StandardCharsets.US_ASCII);
    byte[] tooLong = "y".repeat(17).getBytes(StandardCharsets.US_ASCII);
    String place = "\"normalizer\": null";
    try (Tokenizer tokenizer = load(with(place, "\"normalizer\": " + charsmap('a', 0, fits)))) {
      assertEquals(16, tokenizer.encode("a").length());
    }
    String message = refusal(with(place, "\"normalizer\": " + charsmap('a', 0, tooLong)));
    assertTrue(message.contains("17 times as long, expected at most 16 times"), message);
    String one = charsmap('a', 0, (byte) 'y', (byte) 'y', (byte) 'y', (byte) 'y', (byte) 'y');
    String two = "{\"type\": \"Sequence\", \"normalizers\": [" + one + ", " + one + "]}";
    message = refusal(with(place, "\"normalizer\": " + two));
    assertTrue(message.contains("25 times as long"), message);
  }

  @Test
  void listsInListsAreRefused() {
    for (String[] part :
        new String[][] {
          {"normalizer", "normalizers", "NFC"},
          {"pre_tokenizer", "pretokenizers", "Whitespace"},
          {"decoder", "decoders", "Fuse"}
        }) {
      String nested = "{\"type\": \"" + part[2] + "\"}";
      for (int depth = 0; depth < 20; depth++) {
        nested = "{\"type\": \"Sequence\", \"" + part[1] + "\": [" + nested + "]}";
      }
      String message = refusal(with("\"" + part[0] + "\": null", "\"" + part[0] + "\": " + nested));
      assertTrue(message.contains("lists in lists, more than 6 deep"), message);
    }
  }

  @Test
  void anAddedTokenOfWhichTheNormalizerLeavesNothingIsRefused() {
    String normalized = with("\"normalized\": false", "\"normalized\": true");
    String replace =
        "{\"type\": \"Replace\", \"pattern\": {\"String\": \"<end>\"}, \"content\": \"\"}";
    String message =
        refusal(normalized.replace("\"normalizer\": null", "\"normalizer\": " + replace));
    assertTrue(message.contains("'<end>' is 'normalized'"), message);
  }

  /** Steps by which what is taken away first comes to be. */
  @ParameterizedTest
  @ValueSource(
      strings = {
        "{'type': 'Lowercase'}, {'type': 'Replace', 'pattern': {'String': 'ab'}, 'content': ''}",
        "{'type': 'NFKC'}, {'type': 'Replace', 'pattern': {'String': 'ab'}, 'content': ''}",
        "{'type': 'Replace', 'pattern': {'Regex': '.'}, 'content': 'b'},"
            + " {'type': 'Replace', 'pattern': {'String': 'b'}, 'content': ''}",
        "{'type': 'Replace', 'pattern': {'Regex': '.'}, 'content': 'b'},"
            + " {'type': 'Replace', 'pattern': {'String': 'b'}, 'content': ' '},"
            + " {'type': 'Strip', 'strip_left': true, 'strip_right': true}"
      })
  void anAddedTokenOfWhichSeveralStepsLeaveNothingIsRefused(String steps) {
    String text = steps.contains("NFKC") ? "\uff41\uff42" : "AB";
    String list = steps.replace('\'', '"');
    String sequence = "{\"type\": \"Sequence\", \"normalizers\": [" + list + "]}";
    String message =
        refusal(
            with("\"normalized\": false", "\"normalized\": true")
                .replace("<end>", text)
                .replace("\"normalizer\": null", "\"normalizer\": " + sequence));
    assertTrue(message.contains("'" + text + "' is 'normalized'"), message);
  }

  @Test
  void anAddedTokenThatStepsLeaveSomethingOfIsTaken() throws IOException {
    String steps =
        "{'type': 'Prepend', 'prepend': '_'},"
            + " {'type': 'Replace', 'pattern': {'String': ' '}, 'content': '_'},"
            + " {'type': 'NFKC'}, {'type': 'Lowercase'},"
            + " {'type': 'Replace', 'pattern': {'String': '~'}, 'content': ''},"
            + " {'type': 'Strip', 'strip_left': true, 'strip_right': true}";
    String list = steps.replace('\'', '"');
    String sequence = "{\"type\": \"Sequence\", \"normalizers\": [" + list + "]}";
    String normalized = with("\"normalized\": false", "\"normalized\": true");
    load(normalized.replace("\"normalizer\": null", "\"normalizer\": " + sequence)).close();
  }

  @Test
  void addedTokensAreNotTooLongTogether() {
    StringBuilder others = new StringBuilder("\"special\": true}");
    for (int i = 0; i < 300; i++) {
      others.append(", {\"id\": ").append(5 + i).append(", \"content\": \"").append(i);
      others.append("x".repeat(4000)).append("\"}");
    }
    String message = refusal(with("\"special\": true}", others.toString()));
    assertTrue(message.contains("characters in all, expected at most 1048576"), message);
  }

  @Test
  void addedTokensThatTakeEachOthersSpaceAreRefused() {
    String second =
        "{\"id\": 5, \"content\": \" \", \"single_word\": false, \"lstrip\": true, \"rstrip\":"
            + " false, \"normalized\": false, \"special\": false}]";
    String both =
        with("\"rstrip\": false", "\"rstrip\": true")
            .replace("\"special\": true}]", "\"special\": true}, " + second);
    String message = refusal(both);
    assertTrue(message.contains("'rstrip' of '<end>' and 'lstrip' of ' '"), message);
  }

  @Test
  void aPieceTooDeepForTheLibrarysTreeIsRefused() {
    String unigram =
        "{\"type\": \"Unigram\", \"unk_id\": 0, \"vocab\": [[\"?\", 0], [\""
            + "a".repeat(1025)
            + "\", -1]]}";
    String message =
        refusal("{\"version\": \"1.0\", \"added_tokens\": [], \"model\": " + unigram + "}");
    assertTrue(message.contains("vocab[1]: a piece of 1025 characters"), message);
  }

  @Test
  void dropoutIsNotFollowed() throws IOException {
    try (Tokenizer tokenizer = load(with("\"dropout\": null", "\"dropout\": 0.5"))) {
      for (int i = 0; i < 50; i++) {
        assertArrayEquals(new int[] {3}, tokenizer.encode("ab").ids());
      }
      String notice = tokenizer.notice().orElseThrow();
      assertTrue(notice.contains("'dropout' is 0.5, not followed"), notice);
    }
    refusal(with("\"dropout\": null", "\"dropout\": 2"));
    refusal(with("\"dropout\": null", "\"dropout\": \"x\""));
  }

  /** The bound is what the library allows: a run of that length is gone through, and no longer. */
  @Test
  void aRunBeyondWhatItsPatternGoesThroughIsRefused() throws Exception {
    String pattern = "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
    int run = RegexBound.of(pattern).longestRun();
    assertTrue(run > 1_000_000, run + "");
    String json = with("\"pre_tokenizer\": null", "\"pre_tokenizer\": " + split(pattern));
    try (Tokenizer tokenizer = load(json.replace("\"fuse_unk\": false", "\"fuse_unk\": true"))) {
      assertTrue(tokenizer.encode(" ".repeat(run)).length() > 0);
      assertTrue(tokenizer.encode("ab ".repeat(1 << 20)).length() > 0);
      String message =
          assertThrows(
                  InvalidInputException.class, () -> tokenizer.encode("a" + " ".repeat(run + 1)))
              .getMessage();
      assertTrue(message.contains("more than " + run + " white space in a row"), message);
      assertTrue(message.contains(pattern), message);
    }
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
