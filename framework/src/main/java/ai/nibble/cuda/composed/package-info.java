/**
 * What each CUDA kernel does, composed of libtorch's operations on the same operands: for a GPU
 * where nothing compiles kernels. A class has the kernels of one program, by their names; arguments
 * are read in the order in which the kernel lists them.
 *
 * <p>Arithmetic is the kernels': float32, rounded to the tensors' dtype where the kernel rounds.
 * Sums over a row or over rows are of float64, and rounded once. What is elementwise has the
 * kernels' bits; exponentials and tangents are libtorch's. Work is done in parts of {@link
 * ai.nibble.cuda.composed.Parts#ELEMENTS} elements or one row, so that what is made on the way
 * stays small. No operation waits for the device.
 */
package ai.nibble.cuda.composed;
