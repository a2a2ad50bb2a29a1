package ai.nibble.gguf.vocabulary;

import ai.nibble.gguf.GgufMetadata;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.List;
import java.util.regex.Pattern;

/** {@code tokenizer.ggml.model = gpt2}: byte-level BPE with its merges. */
final class ByteLevelForm implements TokenizerJson.Form {
  /** What the converter names ids that the original has no token for. */
  private static final Pattern NO_TOKEN = Pattern.compile("\\[PAD\\d+\\]");

  private final Vocabulary vocabulary;
  private final PreTokenizerKind preTokenizer;

  ByteLevelForm(Vocabulary vocabulary) {
    this.vocabulary = vocabulary;
    GgufMetadata metadata = vocabulary.metadata();
    String pre = metadata.getString(Vocabulary.PRE);
    this.preTokenizer =
        PreTokenizerKind.named(pre)
            .orElseThrow(
                () ->
                    metadata.bad(
                        Vocabulary.PRE,
                        "is '"
                            + pre
                            + "', a way to part text into words that is not known here, expected"
                            + " one of "
                            + PreTokenizerKind.allNames()
                            + ": put the original model's config.json and tokenizer.json beside"
                            + " the file"));
  }

  @Override
  public void describe(ObjectNode tokenizer) {
    if (preTokenizer.composes()) {
      tokenizer.putObject("normalizer").put("type", "NFC");
    } else {
      tokenizer.putNull("normalizer");
    }
    tokenizer.set("pre_tokenizer", preTokenizer.json());
    tokenizer
        .putObject("decoder")
        .put("type", "ByteLevel")
        .put("add_prefix_space", true)
        .put("trim_offsets", true)
        .put("use_regex", true);
    ObjectNode model = tokenizer.putObject("model").put("type", "BPE");
    for (String none :
        List.of("dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix")) {
      model.putNull(none);
    }
    model.put("fuse_unk", false).put("byte_fallback", false);
    model.put("ignore_merges", preTokenizer.keepsTokens());
    merges(model.putArray("merges"));
  }

  private void merges(ArrayNode out) {
    List<String> merges = vocabulary.metadata().getStrings(Vocabulary.MERGES);
    for (int i = 0; i < merges.size(); i++) {
      String merge = merges.get(i);
      // no token of bytes spelled as characters has a space; the first may be part of the left one
      int space = merge.indexOf(' ', 1);
      boolean known =
          space > 0
              && has(merge.substring(0, space))
              && has(merge.substring(space + 1))
              && has(merge.substring(0, space) + merge.substring(space + 1));
      if (!known) {
        throw vocabulary
            .metadata()
            .bad(
                Vocabulary.MERGES,
                "merge %d does not join two tokens to a third; convert the model again"
                    .formatted(i));
      }
      out.add(merge);
    }
  }

  private boolean has(String text) {
    Integer id = vocabulary.ids().get(text);
    return id != null && !leavesOut(id);
  }

  @Override
  public boolean leavesOut(int id) {
    return vocabulary.isOfType(id, Vocabulary.UNUSED)
        && NO_TOKEN.matcher(vocabulary.texts().get(id)).matches();
  }

  @Override
  public String text(int id) {
    return vocabulary.texts().get(id);
  }

  /** llama.cpp's rule for files from before the key was written: Llama 3's and Tekken's do. */
  @Override
  public boolean addsBos() {
    return preTokenizer.keepsTokens();
  }
}
