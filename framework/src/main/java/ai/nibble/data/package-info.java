/**
 * From rows to token ids: readers and row formats, the tokenizer, chat templates, which tokens
 * carry loss, and the order in which examples are drawn.
 */
package ai.nibble.data;
