package ai.nibble.plan;

/** A part of a run, or what follows it, that has its own peak of memory. */
public enum Phase {
  LOAD,
  TRAIN,
  EVALUATE,
  SAVE,
  /** {@code nibble merge} of what was trained, in a process of its own. */
  MERGE
}
