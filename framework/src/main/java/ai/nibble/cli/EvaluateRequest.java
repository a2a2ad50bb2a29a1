package ai.nibble.cli;

import ai.nibble.tensor.DType;
import ai.nibble.tensor.Device;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;

/**
 * What {@code nibble evaluate} is asked for.
 *
 * @param model the base: a directory or GGUF file; empty: what the adapter names
 * @param adapter a PEFT directory
 * @param tasks at least one
 * @param compare names of variants, possibly none
 * @param computeDtype empty: as the adapter was trained, or what suits the device
 * @param devices that each model may be placed over: the first, if it has the room
 * @param chat whether questions are turns of the chat template
 * @param window of perplexity, in tokens; empty: {@link #WINDOW}, or the model's context if less
 * @param stride of perplexity, in tokens; empty: the window
 * @param cost whether memory and speed are measured too
 */
record EvaluateRequest(
    Optional<Path> model,
    Optional<Path> adapter,
    List<TaskOption> tasks,
    List<String> compare,
    Optional<DType> computeDtype,
    List<Device> devices,
    ByTask numFewshot,
    ByTask fewshotFiles,
    long fewshotSeed,
    ByTask limits,
    boolean chat,
    int maxNewTokens,
    Optional<Integer> window,
    Optional<Integer> stride,
    int batchTokens,
    boolean cost,
    Optional<Path> results,
    Optional<Path> json) {
  /** Tokens of a window of perplexity, where nothing is said. */
  static final int WINDOW = 1024;
}
