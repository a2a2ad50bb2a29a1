package ai.nibble.gguf.vocabulary;

import ai.nibble.gguf.GgufMetadata;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.stream.IntStream;

/**
 * {@code tokenizer.ggml.model = llama}: SentencePiece's BPE, which joins the pair whose token has
 * the highest score. Hugging Face's library has merges in place of scores: every way in which two
 * tokens make a third, in the order of the third's score, which comes to the same.
 *
 * <p>A space is {@code ▁}; characters without a token are spelled in bytes, {@code <0xHH>}. Of
 * Gemma the scores do not follow the order of joining, that of the tokens does; and it has runs of
 * spaces as user-defined tokens, which the converter spells with spaces; Gemma 3 joins these before
 * all others, the longest first. Special tokens of Phi 3 take the white space behind them; no file
 * says so, llama.cpp knows it too.
 */
final class SentencePieceForm implements TokenizerJson.Form {
  private static final String SPACE = "▁";
  private static final int ASCII = 128;

  /** Of Phi 3's special tokens those that leave the white space behind them. */
  private static final Set<String> PHI_KEEPS_SPACE = Set.of("<unk>", "<s>", "<|endoftext|>");

  private final Vocabulary vocabulary;
  private final boolean gemma;
  private final boolean runsFirst;
  private final boolean phi;
  private final Map<Integer, String> spelled = new HashMap<>();
  private final boolean addsSpace;

  private record Merge(String left, String right, float score) {
    int leftLength() {
      return left.codePointCount(0, left.length());
    }

    int rightLength() {
      return right.codePointCount(0, right.length());
    }
  }

  SentencePieceForm(Vocabulary vocabulary, String architecture) {
    this.vocabulary = vocabulary;
    this.gemma = architecture.startsWith("gemma");
    this.runsFirst = architecture.equals("gemma3");
    this.phi = architecture.equals("phi3") || isNamedPhi(vocabulary.metadata());
    this.addsSpace = vocabulary.flag("add_space_prefix", !gemma);
    findCharacters();
    if (unknown().isEmpty() && !spellsBytes()) {
      throw vocabulary
          .metadata()
          .bad(
              Vocabulary.TOKENS,
              "no token is for bytes or for what is unknown: characters without a token would be"
                  + " lost; convert the model again");
    }
  }

  /** The file's, or else the first token of that type. */
  private Optional<String> unknown() {
    if (vocabulary.role("unknown").isPresent()) {
      return vocabulary.textOf("unknown");
    }
    return IntStream.range(0, vocabulary.size())
        .filter(id -> vocabulary.isOfType(id, Vocabulary.UNKNOWN))
        .mapToObj(this::text)
        .findFirst();
  }

  /**
   * Finds characters that have no token but of their byte, and of which longer tokens consist, as
   * Gemma's tabs: SentencePiece joins characters whether or not they are tokens, the library tokens
   * alone. So the byte's token is spelled as the character.
   */
  private void findCharacters() {
    BitSet within = new BitSet();
    for (int id = 0; id < vocabulary.size(); id++) {
      if (isPiece(id)) {
        vocabulary.texts().get(id).chars().filter(c -> c < ASCII).forEach(within::set);
      }
    }
    for (int c = within.nextSetBit(0); c >= 0; c = within.nextSetBit(c + 1)) {
      Integer id = vocabulary.ids().get("<0x%02X>".formatted(c));
      String text = Character.toString(c);
      if (id != null && vocabulary.isOfType(id, Vocabulary.BYTE) && !has(text)) {
        spelled.put(id, text);
      }
    }
  }

  private boolean has(String text) {
    return vocabulary.ids().containsKey(text);
  }

  @Override
  public void describe(ObjectNode tokenizer) {
    normalizer(tokenizer);
    tokenizer.putNull("pre_tokenizer");
    decoder(tokenizer);
    ObjectNode model = tokenizer.putObject("model").put("type", "BPE");
    model.putNull("dropout");
    unknown()
        .ifPresentOrElse(text -> model.put("unk_token", text), () -> model.putNull("unk_token"));
    model.putNull("continuing_subword_prefix").putNull("end_of_word_suffix");
    model.put("fuse_unk", true).put("byte_fallback", spellsBytes());
    model.put("ignore_merges", false);
    merges(model.putArray("merges"));
  }

  private void normalizer(ObjectNode tokenizer) {
    ObjectNode replace = tokenizer.objectNode().put("type", "Replace").put("content", SPACE);
    replace.putObject("pattern").put("String", " ");
    if (!addsSpace) {
      tokenizer.set("normalizer", replace);
      return;
    }
    ArrayNode steps =
        tokenizer.putObject("normalizer").put("type", "Sequence").putArray("normalizers");
    steps.addObject().put("type", "Prepend").put("prepend", SPACE);
    steps.add(replace);
  }

  private void decoder(ObjectNode tokenizer) {
    ArrayNode steps = tokenizer.putObject("decoder").put("type", "Sequence").putArray("decoders");
    steps
        .addObject()
        .put("type", "Replace")
        .put("content", " ")
        .putObject("pattern")
        .put("String", SPACE);
    steps.addObject().put("type", "ByteFallback");
    steps.addObject().put("type", "Fuse");
    if (addsSpace) {
      steps.addObject().put("type", "Strip").put("content", " ").put("start", 1).put("stop", 0);
    }
  }

  private boolean spellsBytes() {
    for (int id = 0; id < vocabulary.size(); id++) {
      if (vocabulary.isOfType(id, Vocabulary.BYTE)) {
        return true;
      }
    }
    return false;
  }

  private void merges(ArrayNode out) {
    Map<String, Integer> pieces = pieces();
    float[] scores = scores();
    List<Merge> merges = new ArrayList<>();
    for (int id = 0; id < vocabulary.size(); id++) {
      if (isPiece(id)) {
        merges.addAll(waysTo(text(id), scores[id], pieces));
      }
    }
    merges.sort(order());
    merges.forEach(merge -> out.add(merge.left + " " + merge.right));
  }

  /**
   * As transformers converts: with scores the highest first, and among the pairs of one token the
   * longest left part; by the tokens' order the other way round.
   */
  private Comparator<Merge> order() {
    Comparator<Merge> best = Comparator.comparingDouble(Merge::score).reversed();
    Comparator<Merge> shorter =
        Comparator.comparingInt(Merge::leftLength).thenComparingInt(Merge::rightLength);
    return best.thenComparing(gemma && !runsFirst ? shorter : shorter.reversed());
  }

  private List<Merge> waysTo(String text, float score, Map<String, Integer> pieces) {
    List<Merge> ways = new ArrayList<>();
    for (int i = 1; i < text.length(); i++) {
      if (Character.isLowSurrogate(text.charAt(i))) {
        continue;
      }
      String left = text.substring(0, i);
      String right = text.substring(i);
      if (pieces.containsKey(left) && pieces.containsKey(right)) {
        ways.add(new Merge(left, right, score));
      }
    }
    ways.sort(
        Comparator.comparingInt((Merge merge) -> pieces.get(merge.left))
            .thenComparingInt(merge -> pieces.get(merge.right)));
    return ways;
  }

  private Map<String, Integer> pieces() {
    Map<String, Integer> pieces = new HashMap<>();
    for (int id = 0; id < vocabulary.size(); id++) {
      if (isPiece(id)) {
        pieces.put(text(id), id);
      }
    }
    return pieces;
  }

  /** Whether text is joined to it; the others are found whole, or stand for a byte. */
  private boolean isPiece(int id) {
    boolean joined =
        vocabulary.isOfType(id, Vocabulary.NORMAL)
            || gemma && vocabulary.isOfType(id, Vocabulary.USER_DEFINED);
    return joined && text(id).indexOf(' ') < 0 || spelled.containsKey(id);
  }

  private float[] scores() {
    if (!gemma) {
      float[] scores = vocabulary.metadata().getFloats(Vocabulary.SCORES);
      for (int id = 0; id < scores.length; id++) {
        if (Float.isNaN(scores[id])) {
          throw vocabulary
              .metadata()
              .bad(Vocabulary.SCORES, "is NaN for token " + id + ", expected a number");
        }
      }
      return scores;
    }
    float[] scores = new float[vocabulary.size()]; // exact: fewer than 2^24 tokens are read
    for (int id = 0; id < scores.length; id++) {
      boolean run = runsFirst && vocabulary.isOfType(id, Vocabulary.USER_DEFINED);
      scores[id] = run ? 0 : -id;
    }
    return scores;
  }

  @Override
  public boolean leavesOut(int id) {
    return false;
  }

  @Override
  public String text(int id) {
    String character = spelled.get(id);
    String text = character == null ? vocabulary.texts().get(id) : character;
    boolean spaces = gemma && text.length() > 1 && text.isBlank() && text.indexOf(' ') >= 0;
    return spaces ? text.replace(" ", SPACE) : text;
  }

  /** llama.cpp knows Phi 3 by the model's name alone. */
  private static boolean isNamedPhi(GgufMetadata metadata) {
    String name = metadata.getString("general.name", "").toLowerCase(Locale.ROOT);
    return name.contains("phi-3") || name.contains("phi3");
  }

  @Override
  public boolean stripsRight(int id) {
    return phi && !PHI_KEEPS_SPACE.contains(text(id));
  }

  @Override
  public boolean addsBos() {
    return true;
  }
}
