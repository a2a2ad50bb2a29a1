package ai.nibble.gguf;

/**
 * What metadata must agree on between keys, checked on opening because everything built on it
 * indexes one array by another's positions.
 */
final class MetadataRules {
  private static final String TOKENS = "tokenizer.ggml.tokens";
  private static final String SCORES = "tokenizer.ggml.scores";
  private static final String TOKEN_TYPES = "tokenizer.ggml.token_type";
  private static final String MERGES = "tokenizer.ggml.merges";
  private static final String ARCHITECTURE = "general.architecture";

  /** llama.cpp's limit on layers. */
  private static final int MAX_BLOCKS = 512;

  /** {@code LLAMA_TOKEN_TYPE_BYTE}: the token stands for the byte its text spells. */
  private static final int BYTE_TOKEN = 6;

  private static final int BYTE_TOKEN_LENGTH = 6; // <0xHH>

  private MetadataRules() {}

  static void check(MappedFile file, GgufMetadata metadata) {
    if (metadata.contains(ARCHITECTURE)) {
      String blockCount = metadata.getString(ARCHITECTURE) + ".block_count";
      if (metadata.contains(blockCount)) {
        metadata.getInt(blockCount, 1, MAX_BLOCKS);
      }
    }
    elements(metadata, TOKENS, MetadataType.STRING);
    elements(metadata, MERGES, MetadataType.STRING);
    oneEachToken(metadata, SCORES, MetadataType.FLOAT32);
    oneEachToken(metadata, TOKEN_TYPES, MetadataType.INT32);
    if (metadata.contains(TOKENS) && metadata.contains(TOKEN_TYPES)) {
      byteTokens(file, metadata);
    }
  }

  private static void elements(GgufMetadata metadata, String key, MetadataType expected) {
    if (!metadata.contains(key)) {
      return;
    }
    MetadataType type = metadata.type(key);
    if (type != MetadataType.ARRAY) {
      throw metadata.bad(key, "is " + type + ", expected an array of " + expected);
    }
    MetadataType element = metadata.elementType(key);
    if (element != expected) {
      throw metadata.bad(
          key,
          "is an array of %s, expected of %s; convert the model again"
              .formatted(element, expected));
    }
  }

  private static void oneEachToken(GgufMetadata metadata, String key, MetadataType expected) {
    elements(metadata, key, expected);
    if (!metadata.contains(key)) {
      return;
    }
    long tokens = metadata.contains(TOKENS) ? metadata.size(TOKENS) : 0;
    if (metadata.size(key) != tokens) {
      throw metadata.bad(
          key,
          "has %d elements, expected %d, one for each of '%s'; convert the model again"
              .formatted(metadata.size(key), tokens, TOKENS));
    }
  }

  /** The text of each token of type byte is {@code <0xHH>}. */
  private static void byteTokens(MappedFile file, GgufMetadata metadata) {
    GgufMetadata.Entry tokens = metadata.entry(TOKENS);
    long typeAt = metadata.entry(TOKEN_TYPES).position();
    long at = tokens.position();
    for (long i = 0; i < tokens.count(); i++, typeAt += Integer.BYTES) {
      long length = file.longAt(at);
      at += Long.BYTES;
      if (file.intAt(typeAt) == BYTE_TOKEN && !spellsByte(file, at, length)) {
        String text = Cursor.utf8(file, at, (int) Math.min(length, 64));
        throw metadata.bad(
            TOKENS,
            "token %d is of type byte but reads %s, expected <0x00> to <0xFF>; convert the model again"
                .formatted(i, text == null ? "no valid UTF-8" : Cursor.shown(text)));
      }
      at += length;
    }
  }

  private static boolean spellsByte(MappedFile file, long at, long length) {
    return length == BYTE_TOKEN_LENGTH
        && file.byteAt(at) == '<'
        && file.byteAt(at + 1) == '0'
        && file.byteAt(at + 2) == 'x'
        && hex(file.byteAt(at + 3))
        && hex(file.byteAt(at + 4))
        && file.byteAt(at + 5) == '>';
  }

  private static boolean hex(byte c) {
    return c >= '0' && c <= '9' || c >= 'A' && c <= 'F' || c >= 'a' && c <= 'f';
  }
}
