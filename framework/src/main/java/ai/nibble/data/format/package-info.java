/**
 * Row formats, one file each: how the columns of a row become a conversation or a text. {@code
 * datasets/README.md} shows a row of each.
 */
package ai.nibble.data.format;
