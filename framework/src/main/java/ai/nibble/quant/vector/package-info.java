/**
 * Kernels on {@code jdk.incubator.vector}, present in JDK 17 to 25 but only where the JVM was
 * started with {@code --add-modules jdk.incubator.vector}. Nothing outside {@code quant} names this
 * package, and {@code quant} asks for the module first.
 */
package ai.nibble.quant.vector;
