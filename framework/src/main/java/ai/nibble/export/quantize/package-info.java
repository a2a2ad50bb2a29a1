/**
 * Writes a base with its linears quantised, as transformers and bitsandbytes save one: {@link
 * ai.nibble.quant.stored} says what lies in the files.
 */
package ai.nibble.export.quantize;
