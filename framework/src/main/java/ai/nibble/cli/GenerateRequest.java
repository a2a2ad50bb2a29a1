package ai.nibble.cli;

import java.nio.file.Path;
import java.util.Optional;

/**
 * What {@code nibble generate} is asked for.
 *
 * @param prompt one prompt, or else {@code promptsFile}
 * @param promptsFile rows of prompts
 * @param system the system's turn before the user's
 * @param raw whether the prompt is text to go on from rather than a user's turn
 * @param use the adapter of prompts that name none, or {@code off}
 * @param json whether the answer to one prompt is a line of JSON too
 */
record GenerateRequest(
    ModelRequest model,
    SamplingRequest sampling,
    Optional<String> prompt,
    Optional<Path> promptsFile,
    Optional<String> system,
    boolean raw,
    String use,
    boolean json) {}
