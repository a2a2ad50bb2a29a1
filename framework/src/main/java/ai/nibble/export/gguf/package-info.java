/**
 * Models and adapters as GGUF files for llama.cpp and Ollama: which type each tensor gets, metadata
 * and vocabulary, and the Modelfile beside. The bytes of the format are {@link ai.nibble.gguf}'s.
 */
package ai.nibble.export.gguf;
