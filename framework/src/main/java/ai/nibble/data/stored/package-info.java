/**
 * Encoded examples in a file: read by index, so that training data may be larger than memory, and
 * kept from run to run.
 *
 * <p>The file, all numbers little-endian:
 *
 * <table>
 * <caption>Layout</caption>
 * <tr><td>8 bytes</td><td>{@code NIBBLEX2}</td></tr>
 * <tr><td>each example</td><td>4 bytes: where the second sequence of a pair begins, 0 of a plain row,
 *     −1 of a desirable answer, −2 of an undesirable one; its n token ids, 4 bytes each; then ⌈n/8⌉
 *     bytes of which bit i mod 8 of byte ⌊i/8⌋ says whether token i carries loss</td></tr>
 * <tr><td>4 bytes an example</td><td>n</td></tr>
 * <tr><td>13 × 8 bytes</td><td>the summary, in the order of its components</td></tr>
 * <tr><td>32 bytes</td><td>the key: a SHA-256 sum of all that decides the content</td></tr>
 * <tr><td>4 bytes</td><td>CRC-32C of all before it</td></tr>
 * <tr><td>8 bytes</td><td>{@code NIBBLEX2}</td></tr>
 * </table>
 */
package ai.nibble.data.stored;
