/**
 * QLoRA fine-tuning on the JVM.
 *
 * <p>Packages, each importing only to its right: {@code cli → recipe → train → {lora, data, optim}
 * → model → nn → autograd → quant → {safetensors, gguf, tensor}}. This root package holds only what
 * every layer may throw.
 */
package ai.nibble;
