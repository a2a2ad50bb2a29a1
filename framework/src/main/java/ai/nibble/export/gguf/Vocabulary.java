package ai.nibble.export.gguf;

import ai.nibble.InvalidInputException;
import ai.nibble.data.Tokenizer;
import ai.nibble.data.TokenizerContents;
import ai.nibble.data.TokenizerContents.Added;
import ai.nibble.gguf.GgufHeader;
import ai.nibble.model.ModelConfig;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;

/**
 * A tokenizer as the metadata {@code tokenizer.ggml.*}: byte-level BPE with its merges, as
 * llama.cpp has it for Llama 3, or what was once SentencePiece with scores ({@link SentencePiece}).
 */
final class Vocabulary {
  // llama.cpp's llama_token_type
  private static final int NORMAL = 1;
  private static final int CONTROL = 3;
  private static final int USER_DEFINED = 4;
  private static final int UNUSED = 5;

  private final Path directory;
  private final TokenizerContents contents;
  private final Tokenizer tokenizer;
  private final ModelConfig config;
  private final Optional<SentencePiece> sentencePiece;
  private final String pre;

  /**
   * @param pre llama.cpp's name of the pre-tokenizer; empty: by what tokenizer.json says
   * @throws InvalidInputException where llama.cpp has no such tokenizer
   */
  Vocabulary(Path directory, Tokenizer tokenizer, ModelConfig config, Optional<String> pre) {
    this.directory = directory;
    this.contents = TokenizerContents.read(directory);
    this.tokenizer = tokenizer;
    this.config = config;
    this.sentencePiece = SentencePiece.of(contents);
    requireWritable();
    this.pre = pre.or(this::recognisedPre).orElseThrow(this::unknownPre);
  }

  private Optional<String> recognisedPre() {
    return sentencePiece.isPresent()
        ? Optional.of("default")
        : PreTokenizer.name(contents.preTokenizer());
  }

  private void requireWritable() {
    boolean byteLevel = contents.modelType().equals("BPE") && !contents.byteFallback();
    if (!byteLevel && sentencePiece.isEmpty()) {
      throw new InvalidInputException(
          directory.resolve("tokenizer.json")
              + ": is a tokenizer of type "
              + contents.modelType()
              + (contents.byteFallback() ? " with byte_fallback" : "")
              + ", expected byte-level BPE, as of Llama 3, Qwen and SmolLM, or BPE with byte_fallback"
              + " that marks spaces with '▁', as of Llama 2 and Mistral: the others cannot be written"
              + " to GGUF yet");
    }
    int highest = contents.tokens().keySet().stream().mapToInt(id -> id).max().orElse(-1);
    if (highest >= config.vocabSize()) {
      throw new InvalidInputException(
          "%s: has token id %d, expected ids below 'vocab_size' of config.json, which is %d"
              .formatted(directory.resolve("tokenizer.json"), highest, config.vocabSize()));
    }
  }

  private InvalidInputException unknownPre() {
    return new InvalidInputException(
        directory.resolve("tokenizer.json")
            + ": llama.cpp is not known to part text into words as 'pre_tokenizer' does, expected"
            + " that of gpt-2, smollm, llama-bpe or qwen2: name the nearest of llama.cpp's with"
            + " --pre, and other tokens than in training may come out");
  }

  /** The text of a token that is not spelled in bytes: a control token. */
  String text(int id) {
    return contents.tokens().get(id);
  }

  /** Adds the keys. */
  void describe(GgufHeader header) {
    header.put("tokenizer.ggml.model", sentencePiece.isPresent() ? "llama" : "gpt2");
    header.put("tokenizer.ggml.pre", pre);
    header.putStrings("tokenizer.ggml.tokens", tokens());
    header.putInts("tokenizer.ggml.token_type", types());
    if (sentencePiece.isPresent()) {
      header.putFloats("tokenizer.ggml.scores", sentencePiece.get().scores(config.vocabSize()));
    } else {
      header.putStrings("tokenizer.ggml.merges", contents.merges());
    }
    put(header, "bos", tokenizer.bosId(), config.bosTokenId());
    put(
        header,
        "eos",
        tokenizer.eosId(),
        config.eosTokenIds().stream().mapToInt(Integer::intValue).findFirst());
    put(header, "unknown", tokenizer.unkId(), OptionalInt.empty());
    put(header, "padding", tokenizer.padId(), config.padTokenId());
    header.put("tokenizer.ggml.add_bos_token", addsBos());
    boolean space = sentencePiece.map(SentencePiece::addsSpace).orElse(false);
    header.put("tokenizer.ggml.add_space_prefix", space);
  }

  /** Whether plain text begins with the beginning-of-sequence token. */
  boolean addsBos() {
    int[] prefix = tokenizer.textPrefix();
    return prefix.length > 0 && OptionalInt.of(prefix[0]).equals(tokenizer.bosId());
  }

  private static void put(
      GgufHeader header, String role, OptionalInt named, OptionalInt configured) {
    OptionalInt id = named.isPresent() ? named : configured;
    id.ifPresent(value -> header.put("tokenizer.ggml." + role + "_token_id", value));
  }

  /** One for each row of the embedding: ids without a token get a name no text has. */
  private List<String> tokens() {
    Map<Integer, String> known = new HashMap<>(contents.tokens());
    for (Added added : sentencePiece.isPresent() ? contents.added() : List.<Added>of()) {
      if (!added.special()) {
        known.computeIfPresent(added.id(), (id, text) -> SentencePiece.asWritten(text));
      }
    }
    List<String> tokens = new ArrayList<>(config.vocabSize());
    for (int id = 0; id < config.vocabSize(); id++) {
      tokens.add(known.getOrDefault(id, "[PAD" + id + "]"));
    }
    return tokens;
  }

  private int[] types() {
    int[] types = new int[config.vocabSize()];
    for (int id = 0; id < types.length; id++) {
      types[id] = contents.tokens().containsKey(id) ? NORMAL : UNUSED;
    }
    for (Added added : contents.added()) {
      types[added.id()] = added.special() ? CONTROL : USER_DEFINED;
    }
    sentencePiece.ifPresent(pieces -> pieces.mark(types));
    return types;
  }
}
