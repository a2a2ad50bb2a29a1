/**
 * LoRA adapters: which modules of a model carry one, of what rank and scale, and how PEFT writes
 * that down.
 *
 * <p>An adapter directory holds {@code adapter_config.json}, a JSON object of the keys that {@link
 * ai.nibble.lora.AdapterConfigFile} lists, and {@code adapter_model.safetensors}, whose tensor
 * names {@link ai.nibble.lora.AdapterNames} describes. Source of the semantics: Hugging Face PEFT
 * 0.21, {@code tuners/tuners_utils.py} and {@code tuners/lora}.
 */
package ai.nibble.lora;
