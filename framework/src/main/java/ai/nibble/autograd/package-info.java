/**
 * A small reverse-mode tape. Each {@link ai.nibble.autograd.Function} has a hand-written forward
 * and backward over tensors, says explicitly what it saves between the two, and everything saved is
 * freed the moment it has been used. Where the base model is frozen, the only weight gradients are
 * the adapters'; engine autograd would keep every dequantised weight alive until backward.
 */
package ai.nibble.autograd;
