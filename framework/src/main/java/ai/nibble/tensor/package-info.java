/**
 * Tensors over libtorch's C ABI. Nothing outside this package sees a native pointer, JNA or the
 * internals of DJL's engine.
 */
package ai.nibble.tensor;
