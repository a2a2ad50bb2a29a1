/**
 * Kernels on {@code jdk.incubator.vector}, present in JDK 17 to 25 but only where the JVM was
 * started with {@code --add-modules jdk.incubator.vector}. Nothing outside {@code nn} names this
 * package, and {@code nn} asks {@link ai.nibble.quant.PackedProduct#isAvailable} first.
 */
package ai.nibble.nn.vector;
