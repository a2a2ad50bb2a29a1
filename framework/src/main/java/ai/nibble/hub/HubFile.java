package ai.nibble.hub;

import java.util.regex.Pattern;

/**
 * A file of a repository at one commit.
 *
 * @param name its path in the repository
 * @param size in bytes
 * @param sum SHA-256 (64 digits) or git's SHA-1 of a blob (40); of an odd mirror any word
 */
record HubFile(String name, long size, String sum) {
  private static final Pattern HEX = Pattern.compile("[0-9a-f]{40}|[0-9a-f]{64}");

  /** Whether the sum says what the bytes are. */
  boolean isVerifiable() {
    return HEX.matcher(sum).matches();
  }

  /** Whether the sum is SHA-256; else it is git's. */
  boolean isSha256() {
    return sum.length() == 64;
  }
}
