package ai.nibble.data;

import ai.nibble.InvalidInputException;
import com.fasterxml.jackson.databind.JsonNode;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.Arrays;
import java.util.Base64;
import java.util.BitSet;
import java.util.Deque;

/**
 * SentencePiece's precompiled normalisation map: base64 of a byte length (u32, little-endian), a
 * double-array trie of that length (u32 units), and the replacement texts, each ended by a NUL.
 *
 * <p>A unit, as darts-clone packs it: bits 0–7 and 31 the label, bit 8 whether it has a value, bits
 * 10–30 the offset to its children, shifted left by 8 where bit 9 is set. The library follows
 * offsets without bounds, so every reachable unit is checked here.
 */
final class PrecompiledCharsmap {
  /** Bytes of the longest replacement; Unicode's own have up to 33. */
  private static final int MAX_TEXT = 128;

  private PrecompiledCharsmap() {}

  /**
   * How many characters are made of one, at most.
   *
   * @param plain of one of ASCII
   * @param other of any other
   */
  record Growth(int plain, int other) {
    /** The same, where so many are allowed for a character that is not of ASCII. */
    double beyond(int allowed) {
      return Math.max(1, Math.max(plain, (double) other / allowed));
    }
  }

  static Growth check(Path path, String where, JsonNode charsmap) {
    byte[] bytes = charsmap != null && charsmap.isTextual() ? decode(charsmap.asText()) : null;
    if (bytes == null) {
      throw new InvalidInputException(
          path + ": " + where + ": 'precompiled_charsmap' is missing or no base64 text");
    }
    ByteBuffer buffer = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
    long trieBytes = bytes.length < 4 ? -1 : Integer.toUnsignedLong(buffer.getInt());
    if (trieBytes < 4 || trieBytes % 4 != 0 || trieBytes > bytes.length - 4) {
      throw new InvalidInputException(
          path
              + ": "
              + where
              + ": 'precompiled_charsmap' has "
              + bytes.length
              + " bytes and a trie of "
              + trieBytes
              + ", expected a trie that fits");
    }
    int[] units = new int[(int) trieBytes / 4];
    buffer.asIntBuffer().get(units);
    byte[] texts = Arrays.copyOfRange(bytes, 4 + (int) trieBytes, bytes.length);
    String problem = problem(units, texts);
    if (problem != null) {
      throw new InvalidInputException(path + ": " + where + ": 'precompiled_charsmap' " + problem);
    }
    int plain = longest(units, texts, 1, 128);
    return new Growth(plain, longest(units, texts, 128, 256));
  }

  /**
   * Characters of the longest replacement of what begins with one of these bytes; checked before.
   */
  private static int longest(int[] units, byte[] texts, int from, int to) {
    int longest = 1;
    BitSet seen = new BitSet();
    Deque<Integer> open = new ArrayDeque<>();
    follow(units, 0, from, to, seen, open);
    while (!open.isEmpty()) {
      int node = open.pop();
      if ((units[node] & (1 << 8)) != 0) {
        int begin = units[base(units, node)] & 0x7fffffff;
        int end = begin;
        while (end < texts.length && texts[end] != 0) {
          end++;
        }
        String text = new String(texts, begin, end - begin, StandardCharsets.UTF_8);
        longest = Math.max(longest, ComponentCheck.normalLength(text));
      }
      follow(units, node, 1, 256, seen, open);
    }
    return longest;
  }

  private static void follow(
      int[] units, int node, int from, int to, BitSet seen, Deque<Integer> open) {
    for (int c = from; c < to; c++) {
      int child = base(units, node) ^ c;
      if ((units[child] & 0x800000ff) == c && !seen.get(child)) {
        seen.set(child);
        open.push(child);
      }
    }
  }

  private static byte[] decode(String base64) {
    try {
      return Base64.getDecoder().decode(base64);
    } catch (IllegalArgumentException e) {
      return null;
    }
  }

  /** What is wrong with it, or null. */
  private static String problem(int[] units, byte[] texts) {
    if (!isUtf8(texts)) {
      return "holds texts that are not UTF-8";
    }
    BitSet seen = new BitSet();
    Deque<Integer> open = new ArrayDeque<>();
    open.push(0);
    seen.set(0);
    while (!open.isEmpty()) {
      int node = open.pop();
      int unit = units[node];
      int base = base(units, node);
      for (int c = 1; c < 256; c++) {
        int child = base ^ c;
        if (child < 0 || child >= units.length) {
          return "holds a trie that points outside itself";
        }
        if ((units[child] & 0x800000ff) == c && !seen.get(child)) {
          seen.set(child);
          open.push(child);
        }
      }
      boolean hasValue = (unit & (1 << 8)) != 0;
      if (hasValue && (base < 0 || base >= units.length)) {
        return "holds a trie that points outside itself";
      }
      String problem = hasValue ? textProblem(texts, units[base] & 0x7fffffff) : null;
      if (problem != null) {
        return problem;
      }
    }
    return takesAwayVisible(units, texts) ? "leaves out printed characters" : null;
  }

  private static int base(int[] units, int node) {
    int unit = units[node];
    return node ^ ((unit >>> 10) << ((unit & (1 << 9)) >>> 6));
  }

  private static boolean isUtf8(byte[] texts) {
    try {
      StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(texts));
      return true;
    } catch (CharacterCodingException e) {
      return false;
    }
  }

  /** What is wrong with the text that begins at a byte, or null. */
  private static String textProblem(byte[] texts, int begin) {
    if (begin >= texts.length) {
      return "holds a trie that points outside itself";
    }
    if ((texts[begin] & 0xc0) == 0x80) {
      return "holds a trie that points into a character";
    }
    int end = begin;
    while (end < texts.length && texts[end] != 0 && end - begin <= MAX_TEXT) {
      end++;
    }
    return end - begin > MAX_TEXT
        ? "replaces a character by more than " + MAX_TEXT + " bytes"
        : null;
  }

  /**
   * Whether any character that is surely printed is replaced by nothing: so that a token of such
   * characters is never left empty.
   */
  private static boolean takesAwayVisible(int[] units, byte[] texts) {
    for (int c = '!'; c <= '~'; c++) {
      int node = base(units, 0) ^ c;
      boolean there = (units[node] & 0x800000ff) == c && (units[node] & (1 << 8)) != 0;
      if (there && texts[units[base(units, node)] & 0x7fffffff] == 0) {
        return true;
      }
    }
    return false;
  }
}
