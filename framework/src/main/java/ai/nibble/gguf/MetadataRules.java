package ai.nibble.gguf;

import java.nio.charset.StandardCharsets;
import java.util.regex.Pattern;

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

  /** Bytes of a byte token's text beyond which a message gives its length only. */
  private static final int MAX_SHOWN_BYTES = 64;

  private static final Pattern BYTE_TOKEN_TEXT = Pattern.compile("<0x[0-9A-Fa-f]{2}>");

  private MetadataRules() {}

  static void check(GgufMetadata metadata) {
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
      byteTokens(metadata);
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
  private static void byteTokens(GgufMetadata metadata) {
    Cursor tokens = metadata.cursor(TOKENS, metadata.entry(TOKENS));
    Cursor types = metadata.cursor(TOKEN_TYPES, metadata.entry(TOKEN_TYPES));
    long count = metadata.size(TOKENS);
    for (long i = 0; i < count; i++) {
      long length = tokens.skipString("a token", Cursor.MAX_STRING_BYTES);
      if (types.int32("a token's type") == BYTE_TOKEN) {
        String text = length > MAX_SHOWN_BYTES ? length + " bytes" : latin1(tokens.bytes(length));
        if (!BYTE_TOKEN_TEXT.matcher(text).matches()) {
          throw tokens.bad(
              "token %d is of type byte but reads %s, expected <0x00> to <0xFF>;"
                      .formatted(i, Cursor.shown(text))
                  + " convert the model again");
        }
      }
    }
  }

  private static String latin1(byte[] bytes) {
    return new String(bytes, StandardCharsets.ISO_8859_1);
  }
}
