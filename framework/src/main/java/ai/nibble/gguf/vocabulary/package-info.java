/**
 * The tokenizer that a GGUF file holds, as the {@code tokenizer.json} and {@code
 * tokenizer_config.json} that Hugging Face's library reads.
 *
 * <pre>
 * tokenizer.ggml.model       'gpt2': byte-level BPE; 'llama': SentencePiece with scores
 * tokenizer.ggml.pre         of gpt2: which patterns part a text into words, by llama.cpp's name
 * tokenizer.ggml.tokens      string[], by id
 * tokenizer.ggml.token_type  i32[]: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte
 * tokenizer.ggml.scores      f32[], of llama: of two pairs that could be joined the higher wins
 * tokenizer.ggml.merges      string[] 'left right', of gpt2: of two pairs the earlier wins
 * tokenizer.ggml.{bos,eos,unknown,padding}_token_id, add_{bos,eos}_token, add_space_prefix
 * tokenizer.chat_template    a Jinja text; others by name in tokenizer.chat_template.NAME
 * </pre>
 *
 * <p>Source: {@code llama-vocab.cpp} and {@code convert_hf_to_gguf.py} of llama.cpp; how
 * SentencePiece becomes BPE: {@code generate_merges} of transformers.
 */
package ai.nibble.gguf.vocabulary;
