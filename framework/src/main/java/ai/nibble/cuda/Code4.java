package ai.nibble.cuda;

/** Which 16 values the 4-bit codes stand for; the order is that of the kernels' table. */
public enum Code4 {
  NF4,
  FP4
}
