/**
 * Safetensors files: reading, writing, and model directories made of several of them.
 *
 * <p>Byte layout (all integers little-endian):
 *
 * <pre>
 * offset 0        u64   N, length of the header in bytes, at most 100,000,000
 * offset 8        N     UTF-8 JSON object, first byte '{', may end in spaces
 * offset 8 + N    ...   buffer: the tensors' bytes, row-major, up to the end of the file
 * </pre>
 *
 * <p>The header maps each tensor's name to {@code {"dtype": "BF16", "shape": [2, 3],
 * "data_offsets": [begin, end]}}, offsets counted from the start of the buffer. The key {@code
 * __metadata__} is reserved for a map from string to string. Sorted by offset, the tensors start at
 * 0, follow each other without hole or overlap, and end exactly where the file ends; {@code end −
 * begin} is the product of the shape times the element's bits divided by 8. An empty shape is a
 * scalar; a dimension of 0 gives a tensor without bytes.
 *
 * <p>A model split over several files adds {@code model.safetensors.index.json}: {@code
 * {"metadata": {"total_size": bytes}, "weight_map": {"tensor": "file"}}}.
 *
 * <p>Source of the rules: the format description and the reference reader of the safetensors
 * project (github.com/huggingface/safetensors). Stricter than the reference in four points, because
 * a file that breaks them was not written by any honest writer: duplicate keys, leading space
 * before the <code>{</code>, unknown keys in a tensor's entry and more than 64 dimensions are
 * refused.
 */
package ai.nibble.safetensors;
