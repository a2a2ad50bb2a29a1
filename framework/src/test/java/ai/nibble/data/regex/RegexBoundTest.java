package ai.nibble.data.regex;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Set;
import org.junit.jupiter.api.Test;

class RegexBoundTest {
  private static final String CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
  private static final String SPACE = "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
  private static final String UPPER = "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]";
  private static final String LOWER = "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]";
  private static final String BEFORE = "[^\\r\\n\\p{L}\\p{N}]?";

  /** As published, by the families that use them. */
  private static Map<String, String> published() {
    Map<String, String> all = new LinkedHashMap<>();
    all.put(
        "GPT-2",
        "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+");
    all.put(
        "GPT-2, by letter",
        "'(?:[sdmt]|ll|ve|re)| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+");
    all.put("CLIP", "'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+");
    all.put(
        "Llama 3, GLM 4, Phi 4",
        CONTRACTIONS + "|" + BEFORE + "\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*" + SPACE);
    all.put(
        "Qwen 2, 2.5, 3",
        CONTRACTIONS + "|" + BEFORE + "\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*" + SPACE);
    all.put(
        "Qwen 3.5",
        CONTRACTIONS
            + "|"
            + BEFORE
            + "[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*"
            + SPACE);
    all.put(
        "cl100k of tiktoken",
        "'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+");
    all.put(
        "nanochat",
        "'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|\\p{N}{1,2}| ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+");
    String cased = BEFORE + UPPER + "*" + LOWER + "+%1$s|" + BEFORE + UPPER + "+" + LOWER + "*%1$s";
    all.put(
        "GPT-4o, gpt-oss, Llama 4, Phi 4 mini",
        String.format(cased, CONTRACTIONS + "?")
            + "|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*"
            + SPACE);
    all.put(
        "Mistral's tekken",
        String.format(cased, "") + "|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*" + SPACE);
    all.put("DeepSeek V3, numbers", "\\p{N}{1,3}");
    all.put("DeepSeek V3, ideographs", "[一-龥぀-ゟ゠-ヿ]+");
    all.put(
        "DeepSeek V3",
        "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*"
            + SPACE);
    all.put("DeepSeek coder, lines", "[\\r\\n]");
    all.put("DeepSeek coder, words", "\\s?\\p{L}+");
    all.put("DeepSeek coder, marks", "\\s?\\p{P}+");
    all.put("DeepSeek coder, ideographs", "[一-龥ࠀ-一가-퟿]+");
    all.put("DeepSeek LLM, words", "\\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-Ρ]+");
    all.put("DeepSeek LLM, marks", "\\s?[!-/:-~！-／：-～‘-‟　-。]+");
    all.put("DeepSeek LLM, ends", "\\s+$");
    all.put(
        "Kimi K2",
        "[\\p{Han}]+|"
            + BEFORE
            + "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}&&[^\\p{Han}]]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}&&[^\\p{Han}]]+"
            + CONTRACTIONS
            + "?|"
            + BEFORE
            + "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}&&[^\\p{Han}]]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}&&[^\\p{Han}]]*"
            + CONTRACTIONS
            + "?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*"
            + SPACE);
    all.put(
        "EXAONE 4",
        "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?(?:\\p{L}\\p{M}*(?: \\p{L}\\p{M}*)*)+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]?|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+");
    all.put("SuperBPE, groups of digits", "(?=(\\d{3})+(?!\\d))");
    all.put("digits from the right", "\\d{1,3}(?=(?:\\d{3})*\\b)");
    all.put("BLOOM", " ?[^(\\s|[.,!?…。，、।۔،])]+");
    all.put("Falcon", "[0-9][0-9][0-9]");
    all.put("StarCoder, digits", "\\p{Nd}");
    all.put("T5", " {2,}");
    all.put("CLIP's normalizer", "\\s+");
    all.put("Poro, Viking", " ?[^(\\s|.,!?…。，、।۔،)]+");
    return all;
  }

  @Test
  void publishedPatternsAreBounded() throws RegexException {
    for (Map.Entry<String, String> each : published().entrySet()) {
      RegexBound bound;
      try {
        bound = RegexBound.of(each.getValue());
      } catch (RegexException e) {
        throw new AssertionError(each.getKey() + " " + e.getMessage(), e);
      }
      boolean squared = each.getValue().matches("\\\\s\\+\\$|.*\\\\d\\{3\\}.*");
      int least = squared ? 30_000 : 1_000_000;
      assertTrue(bound.longestRun() >= least, each.getKey() + ": " + bound);
    }
  }

  private static RegexBound of(String pattern) throws RegexException {
    return RegexBound.of(pattern);
  }

  @Test
  void aRunThatNothingFollowsIsNeverGivenBack() throws RegexException {
    assertEquals(new RegexBound(1, Set.of(), Integer.MAX_VALUE), of("a+"));
    assertEquals(new RegexBound(2, Set.of(), Integer.MAX_VALUE), of("ba+b*(?:c|d)?"));
    assertEquals(Set.of(), of("b?a++").letters());
  }

  /** Ten million failures at one place, of which half are allowed; each space given back is one. */
  @Test
  void aRunThatIsGivenBackIsBoundedByItsFailures() throws RegexException {
    RegexBound once = of("\\s*x|\\s+");
    assertEquals(Set.of(Letters.WHITE), once.letters());
    assertEquals(5_000_000, once.longestRun(), 10);
    RegexBound twice = of("\\s*x|\\s*y|\\s+");
    assertEquals(2_500_000, twice.longestRun(), 10);
    // a run that no branch takes is gone through again from its next character
    assertEquals(30_000, of("\\s*x").longestRun());
    assertEquals(Set.of(Letters.OTHER), of("\\p{L}*x|\\p{L}+").letters());
    assertEquals(Set.of(Letters.ANY), of("[^a]*x|[^a]+").letters());
    // a run of one is none of the other
    Set<Letters> both = of("\\s*x|\\s+|\\p{L}*x|\\p{L}+").letters();
    assertEquals(Set.of(Letters.WHITE, Letters.OTHER), both);
  }

  @Test
  void theShortestMatchIsCounted() throws RegexException {
    assertEquals(0, of("a*|b").minLength());
    assertEquals(0, of("(?=a)").minLength());
    assertEquals(6, of("(?:ab|cde){3}x*").minLength());
    assertEquals(1, of("\\p{L}+(?!\\d)").minLength());
  }

  /**
   * Nothing of it is a failure to the engine, and each place of a text takes 900,000 characters.
   */
  @Test
  void whatIsAskedForByNumberIsLittle() throws RegexException {
    String message =
        assertThrows(RegexException.class, () -> of("\\p{L}|(?:.{1000}){900}x")).getMessage();
    assertEquals("counts up to 900001 characters, expected at most 256", message);
    assertThrows(RegexException.class, () -> of("(?=.{257}+)a"));
    assertThrows(RegexException.class, () -> of("(?>.{0,129}){2}"));
    assertEquals(256, of(".{256}").minLength());
  }

  @Test
  void whatIsRefusedIsSaid() {
    Map<String, String> problems =
        Map.of(
            "a+a+b", "can be tried in too many ways",
            "(a|aa)+$", "can be tried in too many ways",
            "(?~a)", "has '(?~a)' at 0, which is not supported",
            "x\\1", "has '\\1' at 1, which is not supported",
            "(a", "opens a group at 0 that does not end",
            "a)", "closes a group that is not open",
            "[a", "opens a class that does not end",
            "(a?)*", "repeats what may be empty, at 0",
            "a{2,1}", "repeats {2,1} times",
            "", "is empty");
    problems.forEach(
        (pattern, problem) -> {
          String message = assertThrows(RegexException.class, () -> of(pattern)).getMessage();
          assertTrue(message.contains(problem), message);
        });
  }
}
