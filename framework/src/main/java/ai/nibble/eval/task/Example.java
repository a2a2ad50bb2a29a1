package ai.nibble.eval.task;

/** An item that can stand solved before another. */
public interface Example {
  /** Its place in its file, for messages. */
  String where();

  /** An item's examples are of its own group, such as a subject; empty where there is one group. */
  String group();

  /** All that counts of the item, in one text. */
  String content();
}
