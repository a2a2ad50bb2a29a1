/**
 * The CUDA kernels, as resources beside the classes, and the typed methods that check the operands
 * and launch them.
 */
package ai.nibble.cuda;
