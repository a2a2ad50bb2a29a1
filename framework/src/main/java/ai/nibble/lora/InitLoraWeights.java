package ai.nibble.lora;

/** How new adapters begin; B is zero in each, so that they change nothing before training. */
public enum InitLoraWeights {
  /** {@code true}: A is uniform on ±1/√in (Kaiming with a = √5). */
  KAIMING,
  /** {@code gaussian}: A is normal with standard deviation 1/r. */
  GAUSSIAN
}
